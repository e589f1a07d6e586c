from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from segdistill.losses.boundary.band_kl import BandKL
from segdistill.losses.boundary.signed_distance_kl import SignedDistanceKL
from segdistill.losses.response.kl import KL


def planes_of(label: Tensor) -> Tensor:
    return torch.stack([(label == k).double() for k in range(3)], dim=1)


def touches(label: Tensor, voxel: tuple[int, ...]) -> bool:
    """Whether a face neighbour of the voxel has another class; `label` (*space) of classes."""
    others = itertools.product(*map(range, label.shape))
    return any(label[other] != label[voxel] and math.dist(other, voxel) == 1 for other in others)


def voxel_by_voxel(student: Tensor, teacher: Tensor, label: Tensor, sigma: float) -> float:
    samples = []
    for own, other, classes in zip(student, teacher, label, strict=True):
        voxels = list(itertools.product(*map(range, classes.shape)))
        boundary = [voxel for voxel in voxels if touches(classes, voxel)]
        total = weights = 0.0
        for here in voxels if boundary else []:
            p, q = own[:, *here].exp().tolist(), other[:, *here].exp().tolist()
            p, q = [e / sum(p) for e in p], [e / sum(q) for e in q]
            weight = math.exp(-min(math.dist(here, there) for there in boundary) / sigma)
            total += weight * sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
            weights += weight
        samples.append(total / weights if boundary else 0.0)
    return sum(samples) / len(samples)


@pytest.mark.parametrize("sigma", [0.5, 3])
@pytest.mark.parametrize("space", [(7, 6), (5, 3, 4)])
def test_against_loops(space: tuple[int, ...], sigma: float) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = 2 * torch.randn(2, 3, 3, *space, dtype=torch.float64, generator=generator)
    label = torch.zeros(3, *space, dtype=torch.long)
    label[0, :2], label[0, 0, 0], label[1, -1, 1] = 1, 2, 2  # the third sample has one class alone
    value = float(SignedDistanceKL(sigma)(student, teacher, planes_of(label)))
    assert value == pytest.approx(voxel_by_voxel(student, teacher, label, sigma), rel=1e-10)


def test_lies_between_the_band_and_the_whole_patch() -> None:
    student, teacher = torch.randn(2, 1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    label = torch.zeros(1, 8, 8, dtype=torch.long)
    label[:, 4:] = 1
    planes = planes_of(label).float()
    narrow = float(SignedDistanceKL(sigma=0.01)(student, teacher, planes))
    wide = float(SignedDistanceKL(sigma=1e6)(student, teacher, planes))
    assert narrow == pytest.approx(float(BandKL()(student, teacher, planes)), rel=1e-5)
    assert wide == pytest.approx(float(KL()(student, teacher)), rel=1e-5)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_temperature_and_direction_are_those_of_kl(direction: str) -> None:
    student, teacher = torch.randn(2, 1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    planes = planes_of(torch.arange(16).view(1, 4, 4) % 2).float()  # every voxel touches a boundary
    own = SignedDistanceKL(temperature=4, direction=direction)
    kl = KL(temperature=4, direction=direction)
    assert float(own(student, teacher, planes)) == pytest.approx(float(kl(student, teacher)), rel=1e-5)


def test_voxels_without_a_label_have_no_weight() -> None:
    student, teacher = torch.randn(2, 1, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    label = torch.tensor([0, 0, 1, 1, -1, -1]).expand(1, 4, 6)
    student.requires_grad_()
    SignedDistanceKL()(student, teacher, planes_of(label).float()).backward()
    assert student.grad is not None
    assert (student.grad.abs().sum((0, 1, 2)) > 0).tolist() == [True] * 4 + [False] * 2
