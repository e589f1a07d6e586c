"""Counted memory against what can be told by hand."""

from __future__ import annotations

import pytest
from torch import nn

from segdistill.cost import count

PLANE = 4 * 8**3  # bytes of one float32 channel


@pytest.mark.parametrize(("inplace", "planes"), [(False, 8), (True, 4)])
def test_two_maps_are_alive_unless_the_second_takes_the_place_of_the_first(
    inplace: bool, planes: int
) -> None:
    network = nn.Sequential(nn.Conv3d(1, 4, 1), nn.ReLU(inplace))
    assert count(network, (1, 8, 8, 8)).activation_bytes == planes * PLANE


def test_what_is_no_longer_needed_is_not_counted() -> None:
    deep = nn.Sequential(*[nn.Conv3d(1, 1, 1) for _ in range(10)])
    assert count(deep, (1, 8, 8, 8)).activation_bytes == 2 * PLANE


def test_a_view_shares_its_memory() -> None:
    assert count(nn.Sequential(nn.Conv3d(1, 4, 1), nn.Flatten()), (1, 8, 8, 8)).activation_bytes == 4 * PLANE
