from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from segdistill.losses.boundary.distance import nearness, signed_distance
from segdistill.losses.boundary.planes import touching


def distance_by_loops(planes: Tensor) -> Tensor:
    """Of one fully labelled sample (class, *space)."""
    touch, background = touching(planes[None])[0, 0], planes[0] > 0
    voxels = list(itertools.product(*map(range, touch.shape)))
    distance = torch.zeros(touch.shape, dtype=planes.dtype)
    for here in voxels:
        nearest = min(math.dist(here, there) for there in voxels if touch[there])
        distance[here] = nearest if background[here] else -nearest
    return distance


@pytest.mark.parametrize("space", [(9, 8), (5, 4, 6), (7, 1, 5)])
def test_against_loops(space: tuple[int, ...]) -> None:
    planes = torch.zeros(2, 3, *space, dtype=torch.float64)
    planes[:, 0] = 1
    planes[0, :, 1:4], planes[0, 1, 1:4] = 0, 1
    planes[0, :, 2, 0], planes[0, 2, 2, 0] = 0, 1
    planes[1, :, 2:], planes[1, 2, 2:] = 0, 1
    found = signed_distance(planes)
    assert found.min() < 0 < found.max()
    for sample, distance in zip(planes, found, strict=True):
        assert torch.allclose(distance[0], distance_by_loops(sample))


def test_along_a_line() -> None:
    planes = torch.zeros(1, 2, 1, 7)
    planes[:, 0, :, :4], planes[:, 1, :, 4:] = 1, 1
    assert signed_distance(planes)[0, 0, 0].tolist() == [3, 2, 1, 0, 0, -1, -2]
    assert nearness(planes, 2.0)[0, 0, 0, :2].tolist() == pytest.approx([math.exp(-1.5), math.exp(-1)])
    assert torch.equal(signed_distance(planes[:, 1:], regions=True), signed_distance(planes))


def test_nothing_is_near_where_there_is_no_boundary() -> None:
    planes = torch.zeros(3, 2, 4, 4)
    planes[0, 0] = 1
    planes[1, 0, :, :2], planes[1, 1, :, 2] = 1, 1
    assert signed_distance(planes)[[0, 2]].isinf().all()
    assert nearness(planes, 3.0)[[0, 2]].count_nonzero() == 0
    assert nearness(planes, 3.0)[1, 0].count_nonzero(0).tolist() == [4, 4, 4, 0]
