from __future__ import annotations

import pytest
import torch

from segdistill.losses.reduction import at_least_float32, check_pair, voxel_mean


def test_average_over_the_voxels_of_each_sample_then_over_the_batch() -> None:
    values = torch.tensor([[[1.0, 2.0], [3.0, 6.0]], [[10.0, 20.0], [30.0, 40.0]]])
    where = torch.tensor([[[[1.0, 0.0], [0.0, 0.5]]], [[[0.0, 0.0], [0.0, 1.0]]]])
    assert float(voxel_mean(values, None)) == 14.0
    first, second = (1 * 1 + 0.5 * 6) / 1.5, 40.0
    assert float(voxel_mean(values, where)) == pytest.approx((first + second) / 2)


def test_sample_without_weight_counts_as_zero() -> None:
    where = torch.tensor([[[[1.0, 1.0]]], [[[0.0, 0.0]]]])
    assert float(voxel_mean(torch.full((2, 1, 2), 8.0), where)) == pytest.approx(4.0)


@pytest.mark.parametrize(
    "student, teacher, options, told",
    [
        ((2, 3, 4, 4), (2, 5, 4, 4), {}, "a projector brings widths together"),
        ((2, 3, 4, 4), (2, 3, 8, 4), {}, r"student \(2, 3, 4, 4\) and teacher \(2, 3, 8, 4\) differ"),
        ((2, 3, 4, 4), (2, 5, 8, 4), {"any_width": True}, "resizing brings sizes together"),
        ((2, 3), (2, 3), {}, r"maps are \(batch, channel, \*space\)"),
        ((2, 1, 4, 4), (2, 1, 4, 4), {"least_channels": 2}, r"2 channels at least, got 1: .*\[0, z\]"),
    ],
)
def test_maps_that_cannot_be_compared(
    student: tuple[int, ...], teacher: tuple[int, ...], options: dict[str, int], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        check_pair(torch.zeros(student), torch.zeros(teacher), **options)


def test_any_width() -> None:
    check_pair(torch.zeros(2, 3, 4, 4), torch.zeros(2, 5, 4, 4), any_width=True)


@pytest.mark.parametrize("given", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_float32_at_least(given: torch.dtype) -> None:
    expected = torch.float64 if given == torch.float64 else torch.float32
    assert at_least_float32(torch.ones(1, 2, 3, dtype=given)).dtype == expected
