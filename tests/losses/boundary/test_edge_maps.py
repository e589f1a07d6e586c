from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from segdistill.losses.boundary.edge_maps import EdgeMaps, edges


def edge(plane: Tensor, where: Tensor, voxel: tuple[int, ...]) -> float:
    """Length of the gradient of `plane` (*space) at a voxel."""
    total = 0.0
    for axis in range(plane.ndim):
        steps = []
        for side in (-1, 1):
            other = list(voxel)
            other[axis] += side
            if 0 <= other[axis] < plane.shape[axis] and where[voxel] > 0 and where[*other] > 0:
                steps.append(side * float(plane[*other] - plane[voxel]))
        total += (sum(steps) / len(steps)) ** 2 if steps else 0.0
    return math.sqrt(total)


def voxel_by_voxel(student: Tensor, teacher: Tensor, where: Tensor) -> float:
    samples = []
    for own, other, counts in zip(student, teacher, where[:, 0], strict=True):
        p, q = (each.exp() / each.exp().sum(0) for each in (own, other))
        total = 0.0
        for voxel in itertools.product(*map(range, counts.shape)):
            pairs = zip(p, q, strict=True)
            apart = sum((edge(a, counts, voxel) - edge(b, counts, voxel)) ** 2 for a, b in pairs)
            total += float(counts[voxel]) * apart
        samples.append(total / float(counts.sum()))
    return sum(samples) / len(samples)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("space", [(4, 5), (3, 2, 4), (4, 1, 3)])
def test_against_loops(space: tuple[int, ...], masked: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = 2 * torch.randn(2, 2, 3, *space, dtype=torch.float64, generator=generator)
    where = torch.ones(2, 1, *space, dtype=torch.float64)
    if masked:
        where = (2 * torch.rand(2, 1, *space, dtype=torch.float64, generator=generator) - 1).clamp_min(0)
    expected = voxel_by_voxel(student, teacher, where)
    assert float(EdgeMaps()(student, teacher, where if masked else None)) == pytest.approx(
        expected, rel=1e-10
    )


def test_gradient_is_numpys() -> None:
    values = torch.rand(1, 1, 5, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gradient = np.stack(np.gradient(values[0, 0].numpy()))
    assert np.allclose(edges(values, None)[0, 0].numpy(), np.sqrt((gradient**2).sum(0)))


def test_step_of_one_class_to_another() -> None:
    """Sure of class 0 on the left, of class 1 on the right: |grad| 1/2 beside the step, for both classes."""
    teacher = torch.full((1, 2, 1, 6), -100.0)
    teacher[:, 0, :, :3], teacher[:, 1, :, 3:] = 100, 100
    assert edges(teacher.softmax(1), None)[0, :, 0].tolist() == [[0, 0, 0.5, 0.5, 0, 0]] * 2
    flat = torch.zeros(1, 2, 1, 6)
    assert float(EdgeMaps()(flat, teacher)) == pytest.approx(2 * 2 * 0.25 / 6)


def test_sides_do_not_matter() -> None:
    student, teacher = torch.randn(
        2, 2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    value = float(EdgeMaps()(student, teacher))
    for axes in ([2], [3], [2, 3]):
        assert float(EdgeMaps()(student.flip(axes), teacher.flip(axes))) == pytest.approx(value, rel=1e-12)
    assert float(EdgeMaps()(student.mT, teacher.mT)) == pytest.approx(value, rel=1e-12)


def test_flat_student_gets_a_finite_gradient() -> None:
    student = torch.zeros(1, 2, 4, 4, requires_grad=True)
    EdgeMaps()(student, torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))).backward()
    assert student.grad is not None and torch.isfinite(student.grad).all()


def test_one_channel_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2 channels at least.*\[0, z\]"):
        EdgeMaps()(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))
