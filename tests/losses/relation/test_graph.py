from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from segdistill.losses.relation.graph import Graph


def cosines(feature: torch.Tensor) -> list[list[float]]:
    """Of the voxels of one sample (channel, *space)."""
    vectors = feature.flatten(1).T.tolist()
    vectors = [[x / math.hypot(*v) for x in v] for v in vectors]
    return [[sum(x * y for x, y in zip(a, b, strict=True)) for b in vectors] for a in vectors]


@pytest.mark.parametrize("neighbours", [1, 3, 100])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_against_loops(space: tuple[int, ...], masked: bool, neighbours: int) -> None:
    """As few voxels as this are the nodes themselves."""
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(2, 3, *space, dtype=torch.float64, generator=generator)
    teacher = torch.randn(2, 5, *space, dtype=torch.float64, generator=generator)
    where = (torch.rand(2, 1, *space, dtype=torch.float64, generator=generator) - 0.3).clamp_min(0)
    samples = []
    for own, other, counts in zip(student, teacher, where, strict=True):
        weights = counts.flatten().tolist() if masked else [1.0] * 12
        a, b = cosines(own), cosines(other)
        total = mass = 0.0
        for i in range(12):
            others = [j for j in range(12) if j != i and weights[j] > 0]
            for j in sorted(others, key=lambda j: -b[i][j])[:neighbours]:
                total += weights[i] * weights[j] * (a[i][j] - b[i][j]) ** 2
                mass += weights[i] * weights[j]
        samples.append(total / mass)
    value = float(Graph(neighbours=neighbours)(student, teacher, where if masked else None))
    assert value == pytest.approx(sum(samples) / 2, rel=1e-10)


def test_nodes_are_added() -> None:
    student, teacher = torch.randn(2, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    where = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    squares = ((student - teacher).square().mean(1, keepdim=True) * where).sum((1, 2, 3)) / where.sum(
        (1, 2, 3)
    )
    expected = float(Graph()(student, teacher, where)) + 0.5 * float(squares.mean())
    assert float(Graph(node_weight=0.5)(student, teacher, where)) == pytest.approx(expected, rel=1e-5)


def test_nodes_need_one_width() -> None:
    student, teacher = torch.rand(1, 3, 4, 4), torch.rand(1, 7, 4, 4)
    assert not Graph().needs_equal_width and Graph(node_weight=1).needs_equal_width
    assert torch.isfinite(Graph()(student, teacher))
    with pytest.raises(ValueError, match="a projector brings widths together"):
        Graph(node_weight=1)(student, teacher)


def test_many_voxels_are_pooled() -> None:
    student, teacher = torch.randn(2, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    pooled = Graph()(F.avg_pool2d(student, 2), F.avg_pool2d(teacher, 2))
    assert float(Graph()(student, teacher)) == pytest.approx(float(pooled), rel=1e-5)


def test_one_node_has_no_edge() -> None:
    student = torch.rand(1, 3, 1, 1, requires_grad=True)
    value = Graph()(student, torch.rand(1, 3, 1, 1))
    value.backward()
    assert float(value.detach()) == 0
