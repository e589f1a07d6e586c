from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from segdistill.align import fuse, resize


def interpolated(values: list[float], width: int) -> list[float]:
    """Linear interpolation of numbers at the centres of equal cells, beyond the last centre constant."""
    out = []
    for n in range(width):
        place = max((n + 0.5) * len(values) / width - 0.5, 0.0)
        left = min(math.floor(place), len(values) - 1)
        right = min(left + 1, len(values) - 1)
        out.append(values[left] + (place - left) * (values[right] - values[left]))
    return out


def numbered(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_resize_averages_where_it_shrinks() -> None:
    feature = numbered(1, 2, 4, 6)
    small = resize(feature, (2, 3))
    for row in range(2):
        for column in range(3):
            block = feature[..., 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert torch.allclose(small[..., row, column], block.mean((2, 3)))


@pytest.mark.parametrize("old, new", [((3, 4), (6, 8)), ((3, 4), (6, 4)), ((4, 4, 4), (2, 8, 4))])
def test_resize_is_linear_where_an_axis_grows(old: tuple[int, ...], new: tuple[int, ...]) -> None:
    feature = numbered(1, 2, *old)
    expected = feature
    for axis, side in enumerate(new, start=2):
        columns = expected.movedim(axis, -1)
        flat = [interpolated(column, side) for column in columns.flatten(0, -2).tolist()]
        expected = (
            torch.tensor(flat, dtype=torch.float64).reshape(*columns.shape[:-1], side).movedim(-1, axis)
        )
    assert torch.allclose(resize(feature, new), expected, atol=1e-9)


def test_resize_to_the_same_size_is_the_same_map() -> None:
    feature = numbered(1, 2, 4, 4)
    assert resize(feature, [4, 4]) is feature


@given(
    old=st.lists(st.integers(1, 6), min_size=2, max_size=3), new=st.lists(st.integers(1, 6), min_size=3, max_size=3)
)  # fmt: skip
def test_constant_map_stays_constant_at_every_size(old: list[int], new: list[int]) -> None:
    new = new[: len(old)]
    resized = resize(torch.full((1, 1, *old), 3.0), new)
    assert list(resized.shape[2:]) == new
    assert torch.allclose(resized, torch.tensor(3.0))


def test_fuse_joins_the_channels_at_the_smallest_size() -> None:
    large, small, middle = numbered(2, 3, 8, 8), numbered(2, 2, 2, 2), numbered(2, 1, 4, 4)
    joined = fuse([large, small, middle])
    assert joined.shape == (2, 6, 2, 2)
    assert torch.equal(joined, torch.cat([resize(large, (2, 2)), small, resize(middle, (2, 2))], dim=1))
    assert torch.equal(fuse([small]), small)
