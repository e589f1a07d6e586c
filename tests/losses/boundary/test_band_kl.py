from __future__ import annotations

import itertools
import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from segdistill.losses.boundary.band_kl import BandKL


def kl_of(student: list[float], teacher: list[float], temperature: float, reverse: bool) -> float:
    p = [math.exp(z / temperature) for z in student]
    q = [math.exp(z / temperature) for z in teacher]
    p, q = [e / sum(p) for e in p], [e / sum(q) for e in q]
    first, second = (p, q) if reverse else (q, p)
    return temperature**2 * sum(a * math.log(a / b) for a, b in zip(first, second, strict=True))


def voxel_by_voxel(
    student: Tensor, teacher: Tensor, label: Tensor, width: int, temperature: float, reverse: bool
) -> float:
    """`label`: (batch, *space) of classes, -1 where there is none; the band of no unlabelled paths."""
    samples = []
    for own, other, classes in zip(student, teacher, label, strict=True):
        voxels = list(itertools.product(*map(range, classes.shape)))
        values = []
        for here in voxels:
            near = (v for v in voxels if sum(abs(a - b) for a, b in zip(here, v, strict=True)) <= width)
            if any(classes[v] != classes[here] for v in near):
                values.append(kl_of(own[:, *here].tolist(), other[:, *here].tolist(), temperature, reverse))
        samples.append(sum(values) / len(values) if values else 0.0)
    return sum(samples) / len(samples)


def planes_of(label: Tensor) -> Tensor:
    return torch.stack([(label == k).double() for k in range(3)], dim=1)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("width, temperature", [(1, 1), (2, 4)])
@pytest.mark.parametrize("space", [(7, 6), (5, 3, 4)])
def test_against_loops(
    space: tuple[int, ...], width: int, temperature: float, direction: Literal["forward", "reverse"]
) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = 2 * torch.randn(2, 3, 3, *space, dtype=torch.float64, generator=generator)
    label = torch.zeros(3, *space, dtype=torch.long)
    label[0, :2], label[0, 0, 0], label[1, -1, 1] = 1, 2, 2  # the third sample has one class alone
    expected = voxel_by_voxel(student, teacher, label, width, temperature, direction == "reverse")
    value = float(BandKL(width, temperature, direction)(student, teacher, planes_of(label)))
    assert value == pytest.approx(expected, rel=1e-10)


def line() -> tuple[Tensor, Tensor, Tensor]:
    """Eight voxels, the boundary in the middle; the student differs from the teacher by a known KL at each."""
    label = torch.tensor([[[0, 0, 0, 0, 1, 1, 1, 1]]])
    teacher = torch.zeros(1, 3, 1, 8, dtype=torch.float64)
    student = teacher.clone()
    student[0, 0, 0] = torch.arange(8.0)
    return student, teacher, planes_of(label)


def test_only_the_band_counts() -> None:
    student, teacher, label = line()
    student.requires_grad_()
    value = BandKL()(student, teacher, label)
    third = [0.0] * 3
    expected = [kl_of([z, 0, 0], third, 1, False) for z in (3.0, 4.0)]
    assert value.item() == pytest.approx(sum(expected) / 2)
    value.backward()
    assert student.grad is not None
    assert student.grad.abs().sum((0, 1, 2)).count_nonzero() == 2


def test_where_weighs_the_voxels_of_the_band() -> None:
    student, teacher, label = line()
    where = torch.zeros(1, 1, 1, 8, dtype=torch.float64)
    where[..., 0], where[..., 3], where[..., 4] = 1, 1, 0.25
    expected = [kl_of([z, 0, 0], [0.0] * 3, 1, False) for z in (3.0, 4.0)]
    value = float(BandKL()(student, teacher, label, where))
    assert value == pytest.approx((expected[0] + 0.25 * expected[1]) / 1.25)


def test_sample_of_one_class_counts_as_zero() -> None:
    student, teacher, label = line()
    alone = torch.zeros_like(label)
    alone[:, 2] = 1
    value = float(BandKL()(student, teacher, label))
    assert float(BandKL()(student, teacher, alone)) == 0
    both = [torch.cat(pair) for pair in ((student, student), (teacher, teacher), (label, alone))]
    assert float(BandKL()(*both)) == pytest.approx(value / 2)


def test_one_channel_is_refused() -> None:
    one = torch.zeros(1, 1, 4, 4)
    with pytest.raises(ValueError, match=r"2 channels at least.*\[0, z\]"):
        BandKL()(one, one, one)
