from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from segdistill.losses.boundary.band import band


def band_by_loops(planes: Tensor, radius: int) -> Tensor:
    """Of one fully labelled sample (class, *space): another label lies `radius` face steps or fewer away."""
    label = planes.argmax(0)
    inside = torch.zeros_like(label, dtype=torch.bool)
    voxels = list(itertools.product(*map(range, label.shape)))
    for here, there in itertools.product(voxels, voxels):
        steps = sum(abs(a - b) for a, b in zip(here, there, strict=True))
        if steps <= radius and label[here] != label[there]:
            inside[here] = True
    return inside


@pytest.mark.parametrize("radius", [1, 2, 3])
@pytest.mark.parametrize("space", [(9, 8), (5, 4, 6)])
def test_against_loops(space: tuple[int, ...], radius: int) -> None:
    planes = torch.zeros(2, 3, *space)
    planes[:, 0] = 1
    planes[0, :, 1:3, 2], planes[0, 1, 1:3, 2] = 0, 1
    planes[1, :, -1, -1], planes[1, 2, -1, -1] = 0, 1
    found = band(planes, radius)
    assert 0 < found.float().mean() < 1
    for sample, mask in zip(planes, found, strict=True):
        assert torch.equal(mask[0], band_by_loops(sample, radius))


def test_widens_by_one_voxel_a_step() -> None:
    planes = torch.zeros(1, 2, 1, 8)
    planes[:, 0, :, :4], planes[:, 1, :, 4:] = 1, 1
    assert [int(band(planes, radius).sum()) for radius in (1, 2, 3, 4, 9)] == [2, 4, 6, 8, 8]


def test_regions_have_a_boundary_without_a_plane_of_background() -> None:
    region = torch.zeros(1, 1, 1, 8)
    region[..., 4:] = 1
    assert not band(region, 1).any()  # as classes: one class, and voxels without a label
    assert band(region, 1, regions=True)[0, 0, 0].tolist() == [False] * 3 + [True] * 2 + [False] * 3


def test_voxels_without_a_label_stay_outside() -> None:
    planes = torch.zeros(1, 2, 1, 8)
    planes[:, 0, :, :4], planes[:, 1, :, 4:6] = 1, 1
    assert band(planes, 4)[0, 0, 0].tolist() == [True] * 6 + [False] * 2
