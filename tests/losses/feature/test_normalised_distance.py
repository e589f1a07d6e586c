from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from segdistill.losses.feature import normalised_distance as module
from segdistill.losses.feature.normalised_distance import normalised_distances


def normalised_distance(student: Tensor, teacher: Tensor) -> Tensor:
    return normalised_distances(student, [teacher], [1.0])


def by_autograd(student: Tensor, teacher: Tensor) -> Tensor:
    """The same, step by step."""
    a, b = (each.abs().sum(1, keepdim=True) for each in (student, teacher))
    difference = student / torch.where(a > 0, a, 1.0) - teacher / torch.where(b > 0, b, 1.0)
    return torch.linalg.vector_norm(difference, dim=1)


def pair(rows: int = 4, n: int = 50) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, rows, n, dtype=torch.float64, generator=generator)
    student[1] = 0  # a map of zeros
    near = torch.randn(n, dtype=torch.float64, generator=generator)
    teacher[2] = student[2] * (1 + 1e-4 * near)  # what squares alone cannot tell apart
    return student.requires_grad_(), teacher.requires_grad_()


def test_against_loops() -> None:
    student, teacher = pair()
    for row, value in enumerate(normalised_distance(student, teacher).tolist()):
        s, t = student[row].tolist(), teacher[row].tolist()
        a, b = (sum(map(abs, each)) or 1.0 for each in (s, t))
        expected = math.sqrt(sum((x / a - y / b) ** 2 for x, y in zip(s, t, strict=True)))
        assert value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("piece", [7, 1 << 17])
def test_value_and_gradients_are_those_of_autograd(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", piece)
    student, teacher = pair()
    weights = torch.tensor([1.0, 2.0, 3.0, 0.5], dtype=torch.float64)
    torch.testing.assert_close(normalised_distance(student, teacher), by_autograd(student, teacher))
    ours, theirs = (
        torch.autograd.grad((distance(student, teacher) * weights).sum(), (student, teacher))
        for distance in (normalised_distance, by_autograd)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-12)


def test_equal_maps_are_at_distance_0_and_learn_nothing() -> None:
    student = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0)).relu().requires_grad_()
    distance = normalised_distance(student, student.detach())
    (gradient,) = torch.autograd.grad(distance.sum(), student)
    assert distance.tolist() == [0, 0] and not gradient.any()


def test_a_teacher_in_half_precision_is_taken_as_it_was_recorded() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 3, 300, generator=generator)
    half = teacher.half()
    student.requires_grad_()
    ours = torch.autograd.grad(normalised_distance(student, half).sum(), student)
    theirs = torch.autograd.grad(by_autograd(student, half.float()).sum(), student)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("piece", [7, 1 << 17])
def test_several_teachers_are_the_weighted_sum_of_each(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", piece)
    student, first = pair()
    second = pair(n=50)[0].detach().flip(0) + 0.1
    weights, teachers = (0.5, 2.0), (first.detach(), second)
    together = normalised_distances(student, teachers, weights)
    apart = sum(w * by_autograd(student, t) for w, t in zip(weights, teachers, strict=True))
    torch.testing.assert_close(together, apart)
    scale = torch.tensor([1.0, 2.0, 3.0, 0.5], dtype=torch.float64)
    ours, theirs = (torch.autograd.grad((each * scale).sum(), student) for each in (together, apart))
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-12)
