"""The distances of a vector from others, all of L1 length 1, in as few passes over them as it takes.

Maps at full resolution are by far the largest tensors of a distillation step, and each step of autograd's own would go
over them once more, through main memory. Here forward and backward read the student's map once each, however many
teachers it is compared with, and theirs too, in pieces that stay in the processor's cache; a teacher's may be in half
precision, as it was recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

PIECE = 1 << 17
"""Elements of a piece on a CPU: half a megabyte in float32."""
CANCELLED = 1e-3
"""Share of the squares that must be left in their difference; else it is computed element by element."""


def normalised_distances(student: Tensor, teachers: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """sum_k w_k || s / ||s||_1 - t_k / ||t_k||_1 ||_2 of each row: (batch, n) each -> (batch,).

    A row of zeros stays 0, with the gradient of a row that is not divided. Where both are equal the gradient is 0.

    Args:
        student: in float32 or float64.
        teachers: in that, or in half precision without gradient.
    """
    found: Tensor = _Distances.apply(student, tuple(map(float, weights)), *teachers)
    return found


class _Distances(torch.autograd.Function):
    """With a, b the L1 lengths: ||s / a - t / b||^2 = s.s / a^2 - 2 s.t / (a b) + t.t / b^2."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, weights: tuple[float, ...], *teachers: Tensor) -> Tensor:
        own, theirs = _sums(student, teachers)
        a, b = (torch.where(length > 0, length, 1.0) for length in (own[0], theirs[:, 0]))
        ss, st, tt = own[1] / a**2, theirs[:, 1] / (a * b), theirs[:, 2] / b**2
        square = ss - 2 * st + tt
        for k, row in (square < CANCELLED * (ss + tt)).nonzero().tolist():
            pieces = _pieces(student[row], [teachers[k][row]])
            parts = [s / a[row].to(s) - t / b[k, row].to(s) for s, (t,) in pieces]
            square[k, row] = torch.stack([part.square().sum() for part in parts]).double().sum()
        distances = square.clamp_min(0).sqrt()
        shares = distances.new_tensor(weights)[:, None]
        ctx.save_for_backward(student, distances, shares, a, b, ss, st, tt, own[0], theirs[:, 0], *teachers)
        return (shares * distances).sum(0).to(student.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        student, distances, shares, a, b, ss, st, tt, own, theirs, *teachers = ctx.saved_tensors
        unit = torch.where(distances > 0, shares * gradient.double() / distances, 0.0)
        found: list[Tensor | None] = [None, None, *(None for _ in teachers)]
        if ctx.needs_input_grad[0]:  # u / (a d) - (u.s) sign(s) / (a^2 d), with u = s / a - t / b
            turned = torch.where(own > 0, (ss - st) * unit / a, 0.0).sum(0)
            found[0] = _combined(student, teachers, (unit / a**2).sum(0), -unit / (a * b), student, -turned)
        for k, teacher in enumerate(teachers):
            if ctx.needs_input_grad[2 + k]:
                turned = torch.where(theirs[k] > 0, (st[k] - tt[k]) * unit[k] / b[k], 0.0)
                of_student, of_teacher = -unit[k] / (a * b[k]), (unit[k] / b[k] ** 2)[None]
                found[2 + k] = _combined(student, [teacher], of_student, of_teacher, teacher, turned)
        return tuple(found)


def _pieces(student: Tensor, teachers: Sequence[Tensor]) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """All vectors piece by piece, in the student's precision."""
    step = PIECE if student.device.type == "cpu" else len(student)
    for start in range(0, len(student), max(step, 1)):
        here = slice(start, start + step)
        yield student[here], [teacher[here].to(student.dtype) for teacher in teachers]


def _sums(student: Tensor, teachers: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """In float64: ||s||_1, s.s of each row (2, batch), and ||t||_1, s.t, t.t of each teacher's (teacher, 3, batch)."""
    new, rows = student.new_zeros, len(student)
    own = new((2, rows), dtype=torch.float64)
    theirs = new((len(teachers), 3, rows), dtype=torch.float64)
    for row in range(rows):
        for s, each in _pieces(student[row], [teacher[row] for teacher in teachers]):
            # abs().sum() is four times faster than vector_norm.
            own[:, row] += torch.stack([s.abs().sum(), torch.dot(s, s)]).double()
            found = [torch.stack([t.abs().sum(), torch.dot(s, t), torch.dot(t, t)]) for t in each]
            theirs[:, :, row] += torch.stack(found).double()
    return own, theirs


def _combined(
    student: Tensor,
    teachers: Sequence[Tensor],
    of_student: Tensor,
    of_teachers: Tensor,
    signed: Tensor,
    of_sign: Tensor,
) -> Tensor:
    """of_student s + sum_k of_teacher_k t_k + of_sign sign(v), row by row; v is the student or the one teacher."""
    out = torch.empty_like(student)
    for row in range(len(student)):
        own, sign = of_student[row].to(student.dtype), of_sign[row].to(student.dtype)
        weights = of_teachers[:, row].to(student.dtype)
        start = 0
        for s, each in _pieces(student[row], [teacher[row] for teacher in teachers]):
            into = out[row, start : start + len(s)]
            torch.sign(s if signed is student else each[0], out=into)
            into.mul_(sign).addcmul_(s, own)
            for t, weight in zip(each, weights, strict=True):
                into.addcmul_(t, weight)
            start += len(s)
    return out
