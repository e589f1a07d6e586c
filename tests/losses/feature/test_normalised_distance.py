from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from segdistill.losses.feature import normalised_distance as module
from segdistill.losses.feature.normalised_distance import normalised_distances

PIECES = [14, 1 << 20]  # elements: several voxels at once, and all


def by_autograd(student: Tensor, teacher: Tensor, where: Tensor | None = None) -> Tensor:
    """The same, step by step."""
    flat = [(each if where is None else each * where).flatten(1) for each in (student, teacher)]
    a, b = (each.abs().sum(1, keepdim=True) for each in flat)
    difference = flat[0] / torch.where(a > 0, a, 1.0) - flat[1] / torch.where(b > 0, b, 1.0)
    return torch.linalg.vector_norm(difference, dim=1)


def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 4, 2, 25, dtype=torch.float64, generator=generator)
    student[1] = 0  # a map of zeros
    near = torch.randn(2, 25, dtype=torch.float64, generator=generator)
    teacher[2] = student[2] * (1 + 1e-6 * near)  # nearly equal
    return student.requires_grad_(), teacher.requires_grad_()


def some(batch: int = 4, voxels: int = 25) -> Tensor:
    """Weights of the voxels, some of them 0."""
    generator = torch.Generator().manual_seed(1)
    return torch.rand(batch, 1, voxels, dtype=torch.float64, generator=generator).sub(0.4).clamp_min(0)


def test_against_loops() -> None:
    student, teacher = pair()
    for row, value in enumerate(normalised_distances(student, [teacher], [1.0]).tolist()):
        s, t = student[row].flatten().tolist(), teacher[row].flatten().tolist()
        a, b = (sum(map(abs, each)) or 1.0 for each in (s, t))
        expected = math.sqrt(sum((x / a - y / b) ** 2 for x, y in zip(s, t, strict=True)))
        assert value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("where", [None, some()], ids=["everywhere", "some voxels"])
@pytest.mark.parametrize("piece", PIECES)
def test_value_and_gradients_are_those_of_autograd(
    piece: int, where: Tensor | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PIECE", piece)
    student, teacher = pair()
    weights = torch.tensor([1.0, 2.0, 3.0, 0.5], dtype=torch.float64)
    ours = normalised_distances(student, [teacher], [1.0], where)
    theirs = by_autograd(student, teacher, where)
    torch.testing.assert_close(ours, theirs)
    of_ours, of_theirs = (
        torch.autograd.grad((each * weights).sum(), (student, teacher)) for each in (ours, theirs)
    )
    torch.testing.assert_close(of_ours, of_theirs, rtol=1e-6, atol=1e-12)


def test_equal_maps_are_at_distance_0_and_learn_nothing() -> None:
    student = torch.randn(2, 4, 250, generator=torch.Generator().manual_seed(0)).relu().requires_grad_()
    distance = normalised_distances(student, [student.detach()], [1.0])
    (gradient,) = torch.autograd.grad(distance.sum(), student)
    assert distance.tolist() == [0, 0] and not gradient.any()


def test_maps_whose_voxels_all_do_not_count() -> None:
    student, teacher = pair()
    distance = normalised_distances(student, [teacher], [1.0], torch.zeros_like(some()))
    (gradient,) = torch.autograd.grad(distance.sum(), student)
    assert not distance.any() and not gradient.any()


def test_a_teacher_in_half_precision_is_taken_as_it_was_recorded() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 3, 4, 75, generator=generator)
    half = teacher.half()
    student.requires_grad_()
    ours = torch.autograd.grad(normalised_distances(student, [half], [1.0]).sum(), student)
    theirs = torch.autograd.grad(by_autograd(student, half.float()).sum(), student)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("piece", PIECES)
def test_several_teachers_are_the_weighted_sum_of_each(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", piece)
    student, first = pair()
    second = pair()[0].detach().flip(0) + 0.1
    weights, teachers = (0.5, 2.0), (first.detach(), second)
    together = normalised_distances(student, teachers, weights)
    apart = sum(w * by_autograd(student, t) for w, t in zip(weights, teachers, strict=True))
    torch.testing.assert_close(together, apart)
    scale = torch.tensor([1.0, 2.0, 3.0, 0.5], dtype=torch.float64)
    ours, theirs = (torch.autograd.grad((each * scale).sum(), student) for each in (together, apart))
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-12)


COMPILED = """
import torch
from segdistill import compiled
from segdistill.losses.feature.normalised_distance import normalised_distances

normal = torch.Generator().manual_seed(2)
teachers = [torch.randn(2, 16, 3001, generator=normal).half() for _ in range(2)]

def taught(where):
    student = torch.randn(2, 16, 3001, generator=torch.Generator().manual_seed(0)).relu().requires_grad_()
    found = normalised_distances(student, teachers, [1.0, 2.0], where)
    return found.detach(), torch.autograd.grad(found.sum(), student)[0]

for where in (None, torch.rand(2, 1, 3001, generator=normal).sub(0.4).clamp_min(0)):
    compiled.LARGE = 1 << 60
    slow = taught(where)
    compiled.LARGE = 1
    torch.testing.assert_close(taught(where), slow, rtol=1e-5, atol=1e-9)
assert not compiled.failed and compiled._made.cache_info().currsize == 3
"""


def test_compiled_it_is_the_same(compiler: None) -> None:
    """In a process of its own: here every function has its types checked, which does not compile."""
    done = subprocess.run([sys.executable, "-c", COMPILED], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
