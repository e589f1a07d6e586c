from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from segdistill.losses.boundary.planes import check_planes, labelled, touching


def planes_of(classes: list[list[int]]) -> Tensor:
    """Three class planes of a 2-D label; -1 has no label."""
    label = torch.tensor([classes])
    return torch.stack([(label == k).float() for k in range(3)], dim=1)


def touching_by_loops(planes: Tensor, regions: bool) -> Tensor:
    """Of one sample (class, *space)."""
    space = planes.shape[1:]
    touch = torch.zeros(space, dtype=torch.bool)
    for voxel in itertools.product(*map(range, space)):
        for axis, step in itertools.product(range(len(space)), (-1, 1)):
            other = list(voxel)
            other[axis] += step
            if not 0 <= other[axis] < space[axis]:
                continue
            own, its = planes[:, *voxel].tolist(), planes[:, *other].tolist()
            if own != its and (regions or (any(own) and any(its))):
                touch[voxel] = True
    return touch


@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("space", [(6, 7), (5, 4, 6), (6, 1, 7)])
def test_against_loops(space: tuple[int, ...], regions: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(-1, 20, (2, *space), generator=generator).clamp_max(
        2
    )  # mostly one class, some unlabelled
    planes = torch.stack([(label == k).float() for k in range(3)], dim=1)
    if regions:
        planes = (torch.rand(2, 2, *space, generator=generator) > 0.9).float()
    found = touching(planes, regions)
    assert 0.1 < found.float().mean() < 0.9
    for sample, mask in zip(planes, found, strict=True):
        assert torch.equal(mask[0], touching_by_loops(sample, regions))


def test_boundary_of_two_classes() -> None:
    planes = planes_of([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]])
    expected = [[False, True, True, False], [False, True, True, True], [False, False, True, True]]
    assert touching(planes)[0, 0].tolist() == expected


def test_what_has_no_label_is_no_class() -> None:
    planes = planes_of([[0, 0, -1, 1]])
    assert labelled(planes)[0, 0].tolist() == [[True, True, False, True]]
    assert not touching(planes).any()
    assert labelled(planes, regions=True).all()


def test_label_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3, 4, 4\) fits, got \(1, 3, 2, 2\)"):
        check_planes(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 4, 4))
    with pytest.raises(ValueError, match=r"one plane a class.*\(1, 3, 4, 4\) fits, got \(1, 1, 4, 4\)"):
        check_planes(torch.zeros(1, 1, 4, 4), torch.zeros(1, 3, 4, 4))
