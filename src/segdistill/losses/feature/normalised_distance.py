"""The distance of two vectors of L1 length 1, in as few passes over them as it takes.

Maps at full resolution are by far the largest tensors of a distillation step, and each step of autograd's own would go
over them once more, through main memory. Here forward and backward read both maps once each, in pieces that stay in the
processor's cache; the teacher's may be in half precision, as it was recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

PIECE = 1 << 17
"""Elements of a piece on a CPU: half a megabyte in float32."""
CANCELLED = 1e-3
"""Share of the squares that must be left in their difference; else it is computed element by element."""


def normalised_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """|| s / ||s||_1 - t / ||t||_1 ||_2 of each row: (batch, n), (batch, n) -> (batch,).

    A row of zeros stays 0, with the gradient of a row that is not divided. Where both are equal the gradient is 0.

    Args:
        student: in float32 or float64.
        teacher: in that, or in half precision without gradient.
    """
    found: Tensor = _Distance.apply(student, teacher)
    return found


class _Distance(torch.autograd.Function):
    """With a, b the L1 lengths: ||s / a - t / b||^2 = s.s / a^2 - 2 s.t / (a b) + t.t / b^2."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor) -> Tensor:
        sums = _sums(student, teacher)
        a, b = (torch.where(length > 0, length, 1.0) for length in sums[:2])
        ss, st, tt = sums[2] / a**2, sums[3] / (a * b), sums[4] / b**2
        square = ss - 2 * st + tt
        for row in (square < CANCELLED * (ss + tt)).nonzero()[:, 0].tolist():
            parts = [s / a[row].to(s) - t / b[row].to(s) for s, t in _pieces(student[row], teacher[row])]
            square[row] = torch.stack([part.square().sum() for part in parts]).double().sum()
        distance = square.clamp_min(0).sqrt()
        ctx.save_for_backward(student, teacher, distance, a, b, ss, st, tt, *sums[:2])
        return distance.to(student.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        student, teacher, distance, a, b, ss, st, tt, length_s, length_t = ctx.saved_tensors
        unit = torch.where(distance > 0, gradient.double() / distance, 0.0)
        to_student = to_teacher = None
        if ctx.needs_input_grad[0]:  # u / (a d) - (u.s) sign(s) / (a^2 d), with u = s / a - t / b
            turned = torch.where(length_s > 0, (ss - st) * unit / a, 0.0)
            to_student = _combined(student, teacher, unit / a**2, -unit / (a * b), -turned, student)
        if ctx.needs_input_grad[1]:
            turned = torch.where(length_t > 0, (st - tt) * unit / b, 0.0)
            to_teacher = _combined(student, teacher, -unit / (a * b), unit / b**2, turned, teacher)
        return to_student, to_teacher


def _pieces(student: Tensor, teacher: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Both vectors piece by piece, in the student's precision."""
    step = PIECE if student.device.type == "cpu" else len(student)
    for start in range(0, len(student), max(step, 1)):
        yield student[start : start + step], teacher[start : start + step].to(student.dtype)


def _sums(student: Tensor, teacher: Tensor) -> Tensor:
    """(5, batch) in float64: ||s||_1, ||t||_1, s.s, s.t, t.t of each row."""
    sums = torch.zeros(5, len(student), dtype=torch.float64, device=student.device)
    for row in range(len(student)):
        for s, t in _pieces(student[row], teacher[row]):
            lengths = (each.abs().sum() for each in (s, t))  # four times faster than vector_norm
            sums[:, row] += torch.stack(
                [*lengths, torch.dot(s, s), torch.dot(s, t), torch.dot(t, t)]
            ).double()
    return sums


def _combined(
    student: Tensor, teacher: Tensor, of_student: Tensor, of_teacher: Tensor, of_sign: Tensor, signed: Tensor
) -> Tensor:
    """of_student s + of_teacher t + of_sign sign(v), row by row; v is one of both."""
    out = torch.empty_like(student)
    for row in range(len(student)):
        weights = [each[row].to(student.dtype) for each in (of_student, of_teacher, of_sign)]
        start = 0
        for s, t in _pieces(student[row], teacher[row]):
            into = out[row, start : start + len(s)]
            torch.sign(s if signed is student else t, out=into)
            into.mul_(weights[2]).addcmul_(s, weights[0]).addcmul_(t, weights[1])
            start += len(s)
    return out
