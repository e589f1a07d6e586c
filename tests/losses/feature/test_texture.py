from __future__ import annotations

import itertools
import math

import pytest
import torch

from segdistill.losses.feature.texture import Texture

Place = tuple[int, ...]
Cells = dict[Place, float]


def places(space: Place) -> list[Place]:
    return list(itertools.product(*(range(side) for side in space)))


def divided(value: float, weight: float) -> float:
    return value / weight if weight > 0 else value


def halved(cells: Cells, space: Place, size: Place) -> Cells:
    """The mean over the voxels of each window."""
    found = {}
    for node in places(size):
        windows = [
            range(n * old // new, -(-(n + 1) * old // new))
            for n, old, new in zip(node, space, size, strict=True)
        ]
        inside = list(itertools.product(*windows))
        found[node] = sum(cells[place] for place in inside) / len(inside)
    return found


def drawn_up(cells: Cells, size: Place, space: Place) -> Cells:
    """Linear interpolation between the centres of equal cells, beyond the last centre constant."""
    found = {}
    for place in places(space):
        sides = []
        for x, old, new in zip(place, size, space, strict=True):
            centre = max((x + 0.5) * old / new - 0.5, 0.0)
            left = min(math.floor(centre), old - 1)
            sides.append([(left, 1 - (centre - left)), (min(left + 1, old - 1), centre - left)])
        found[place] = sum(
            math.prod(share for _, share in corner) * cells[tuple(x for x, _ in corner)]
            for corner in itertools.product(*sides)
        )
    return found


def unit(values: list[float], floor: float) -> list[float]:
    length = math.sqrt(sum(v * v for v in values))
    return [v / max(length, floor) for v in values]


def bands_by_loops(
    feature: torch.Tensor, where: torch.Tensor, levels: int, directional: bool
) -> list[list[float]]:
    """Of one sample (channel, *space), `where` (*space)."""
    space: Place = tuple(feature.shape[1:])
    weight = {place: float(where[place]) for place in places(space)}
    level = {
        place: sum(float(c[place]) ** 2 for c in feature) * (weight[place] > 0) for place in places(space)
    }
    bands: list[list[float]] = []
    for _ in range(levels):
        if math.prod(space) == 1:
            break
        values = unit(list(level.values()), 0)
        level = dict(zip(level, values, strict=True))
        size = tuple(math.ceil(side / 2) for side in space)
        low_weight = halved(weight, space, size)
        sums = halved({p: level[p] * weight[p] for p in level}, space, size)
        low = {p: divided(sums[p], low_weight[p]) for p in sums}
        up_weight = drawn_up(low_weight, size, space)
        up = drawn_up({p: low[p] * low_weight[p] for p in low}, size, space)
        band = {p: (level[p] - divided(up[p], up_weight[p])) * math.sqrt(weight[p]) for p in level}
        if directional:
            for axis in range(len(space)):
                steps = [
                    band[(*p[:axis], p[axis] + 1, *p[axis + 1 :])] - band[p]
                    for p in places(space)
                    if p[axis] + 1 < space[axis]
                ]
                bands += [unit(steps, 0.01)] if space[axis] > 1 else []
        else:
            bands.append(unit(list(band.values()), 0.01))
        level, weight, space = low, low_weight, size
    return bands


@pytest.mark.parametrize("directional", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("space, count", [((5, 4), 3), ((3, 2, 4), 2), ((6, 1, 3), 3)])
def test_against_loops(space: tuple[int, ...], count: int, weighted: bool, directional: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(2, 3, *space, dtype=torch.float64, generator=generator)
    teacher = torch.randn(2, 5, *space, dtype=torch.float64, generator=generator)
    where = torch.ones(2, 1, *space, dtype=torch.float64)
    if weighted:
        where = (torch.rand(2, 1, *space, dtype=torch.float64, generator=generator) - 0.3).clamp_min(0)
    samples = []
    for sample in range(2):
        own = bands_by_loops(student[sample], where[sample, 0], 3, directional)
        other = bands_by_loops(teacher[sample], where[sample, 0], 3, directional)
        assert directional or len(own) == count
        squares = [
            sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for x, y in zip(own, other, strict=True)
        ]
        samples.append(sum(squares) / len(squares))
    value = Texture(directional=directional)(student, teacher, where if weighted else None)
    assert float(value) == pytest.approx(sum(samples) / 2, rel=1e-9)


def test_by_hand() -> None:
    """A step of two voxels: its mean, drawn up, is flat, so the band is (1, -1) / sqrt(2), or the other way round."""
    left, right = torch.tensor([[[[2.0, 1.0]]]]), torch.tensor([[[[1.0, 3.0]]]])
    assert float(Texture()(left, 5 * left)) == pytest.approx(0, abs=1e-6)
    assert float(Texture()(left, right)) == pytest.approx(4)


def test_smooth_map_has_no_texture() -> None:
    """Rounding noise is not drawn out to unit length, and its gradient is no larger than that of true texture."""
    teacher = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    student = torch.full((1, 3, 8, 8), 0.1, requires_grad=True)
    value = Texture()(student, teacher)
    value.backward()
    assert value.item() == pytest.approx(1, rel=1e-3)  # a band of length 0 beside one of length 1
    assert student.grad is not None and student.grad.abs().max() < 1000


def test_one_voxel_has_no_texture() -> None:
    assert float(Texture()(torch.ones(2, 3, 1, 1, 1), torch.zeros(2, 3, 1, 1, 1))) == 0


def test_edge_of_where_is_no_texture() -> None:
    """A map that is constant where it counts has empty bands, whatever lies outside."""
    where = torch.zeros(1, 1, 8, 8)
    where[..., 2:5, 1:6] = 1
    student = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0)) * (1 - where) + 3 * where
    assert float(Texture()(student, torch.zeros(1, 2, 8, 8), where)) == pytest.approx(0, abs=1e-6)
