from __future__ import annotations

import itertools
import math

import pytest
import torch

from segdistill.losses.feature.coordinate import Coordinate


def along(feature: torch.Tensor, axis: int, power: float, channels: bool) -> dict[tuple[int, int], float]:
    """(channel, position) -> activity of one sample (channel, *space); channel 0 alone if averaged."""
    found: dict[tuple[int, int], float] = {}
    for place in itertools.product(*(range(side) for side in feature.shape)):
        key = (place[0] if channels else 0, place[1 + axis])
        found[key] = found.get(key, 0.0) + abs(float(feature[place])) ** power
    length = math.sqrt(sum(value**2 for value in found.values()))
    return {key: value / length for key, value in found.items()}


@pytest.mark.parametrize("channels", [False, True])
@pytest.mark.parametrize("power", [1, 2, 3.5])
@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2), (3, 1, 2)])
def test_against_loops(space: tuple[int, ...], power: float, channels: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(2, 3, *space, dtype=torch.float64, generator=generator)
    teacher = torch.randn(2, 3 if channels else 5, *space, dtype=torch.float64, generator=generator)
    axes = [axis for axis, side in enumerate(space) if side > 1]
    total = 0.0
    for own, other in zip(student, teacher, strict=True):
        for axis in axes:
            a, b = (along(each, axis, power, channels) for each in (own, other))
            total += sum((a[key] - b[key]) ** 2 for key in a)
    value = float(Coordinate(power, channels)(student, teacher))
    assert value == pytest.approx(total / (2 * len(axes)), rel=1e-10)


def test_by_hand() -> None:
    """One active voxel each, two columns apart in one row: rows agree, columns are sqrt(2) apart."""
    student, teacher = torch.zeros(1, 2, 3, 4), torch.zeros(1, 1, 3, 4)
    student[0, 0, 1, 0], teacher[0, 0, 1, 2] = 5, -3
    assert float(Coordinate()(student, teacher)) == pytest.approx((0 + 2) / 2)


def test_one_voxel_has_no_coordinates() -> None:
    assert float(Coordinate()(torch.ones(2, 3, 1, 1, 1), torch.zeros(2, 3, 1, 1, 1))) == 0


def test_voxels_count_by_their_weight() -> None:
    student, where = torch.ones(1, 1, 1, 2), torch.tensor([[[[1.0, 0.75]]]])
    teacher = torch.tensor([[[[1.0, 0.0]]]])
    expected = (1 / 1.25 - 1) ** 2 + (0.75 / 1.25) ** 2
    assert float(Coordinate()(student, teacher, where)) == pytest.approx(expected)


@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_scale_of_the_features_does_not_matter(scale: float) -> None:
    student, teacher = torch.randn(2, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = float(Coordinate(4)(student, teacher))
    assert float(Coordinate(4)(scale * student, teacher)) == pytest.approx(expected, rel=1e-4)


def test_channels_that_are_kept_apart_need_equal_widths() -> None:
    student, teacher = torch.rand(1, 3, 4, 4), torch.rand(1, 7, 4, 4)
    assert not Coordinate().needs_equal_width and torch.isfinite(Coordinate()(student, teacher))
    assert Coordinate(channels=True).needs_equal_width
    with pytest.raises(ValueError, match="a projector brings widths together"):
        Coordinate(channels=True)(student, teacher)
