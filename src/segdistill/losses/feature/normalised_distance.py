"""The distances of a vector from others, all of L1 length 1, in as few passes over them as it takes.

Maps at full resolution are by far the largest tensors of a distillation step, and each step of autograd's own would go
over them once more, through main memory. Here it takes three passes (lengths, differences, gradient), however many
teachers there are; a teacher's map may be in half precision, as it was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from segdistill.compiled import compiled
from segdistill.losses.reduction import masked

PIECE = 1 << 20
"""Elements of a sample that are worked on at once where nothing is compiled: few enough for the caches, and many enough
to be worth waking the processor's other cores."""


def normalised_distances(
    student: Tensor, teachers: Sequence[Tensor], weights: Sequence[float], where: Tensor | None = None
) -> Tensor:
    """sum_k w_k || s / ||s||_1 - t_k / ||t_k||_1 ||_2 of each sample: (batch, channel, n) each -> (batch,).

    A sample of zeros stays 0, with the gradient of one that is not divided. Where both are equal the gradient is 0.

    Args:
        student: in float32 or float64.
        teachers: in that, or in half precision without gradient.
        where: (batch, 1, n), which all maps are multiplied by first; without gradient.
    """
    found: Tensor = _Distances.apply(student, where, tuple(map(float, weights)), *teachers)
    return found


class _Distances(torch.autograd.Function):
    """With u = s / a - t / b and d = ||u||: the gradient by s is u / (a d) - (u.s) sign(s) / (a^2 d), by t likewise."""

    @staticmethod
    def forward(
        ctx: Any, student: Tensor, where: Tensor | None, weights: tuple[float, ...], *teachers: Tensor
    ) -> Tensor:
        lengths = _sum(_lengths, student, teachers, where)
        scales = torch.where(lengths > 0, lengths, 1.0).reciprocal()
        products = _sum(_products, student, teachers, where, scales.to(student.dtype))
        distances = products[:, 0].sqrt()
        shares = distances.new_tensor(weights)[:, None]
        ctx.save_for_backward(student, where, lengths, scales, products, distances, shares, *teachers)
        return (shares * distances).sum(0).to(student.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        student, where, lengths, scales, products, distances, shares, *teachers = ctx.saved_tensors
        unit = torch.where(distances > 0, shares * gradient.double() / distances, 0.0)  # (teacher, batch)
        signs = torch.where(lengths > 0, scales**2, 0.0)
        a, b = scales[0], scales[1:]
        found: list[Tensor | None] = [None, None, None, *(None for _ in teachers)]
        if ctx.needs_input_grad[0]:
            turned = -(unit * products[:, 1]).sum(0) * signs[0]
            found[0] = _combination(student, teachers, where, unit.sum(0) * a * a, -unit * a * b, turned)
        for k, teacher in enumerate(teachers):
            if ctx.needs_input_grad[3 + k]:
                turned = unit[k] * products[k, 2] * signs[1 + k]
                of_teacher, of_student = unit[k] * b[k] * b[k], (-unit[k] * a * b[k])[None]
                found[3 + k] = _combination(teacher, [student], where, of_teacher, of_student, turned)
        return tuple(found)


def _lengths(student: Tensor, teachers: Sequence[Tensor], where: Tensor | None) -> Tensor:
    """||s||_1 and each ||t||_1: (1 + teacher, batch)."""
    maps = (masked(each.to(student.dtype), where) for each in (student, *teachers))
    return torch.stack([each.abs().sum((1, 2)) for each in maps])


def _products(student: Tensor, teachers: Sequence[Tensor], where: Tensor | None, scales: Tensor) -> Tensor:
    """u.u, u.s and u.t of u = s / a - t / b: (teacher, 3, batch)."""
    s, found = masked(student, where), []
    for teacher, scale in zip(teachers, scales[1:], strict=True):
        t = masked(teacher.to(student.dtype), where)
        u = s * scales[0][:, None, None] - t * scale[:, None, None]
        found.append(torch.stack([(u * each).sum((1, 2)) for each in (u, s, t)]))
    return torch.stack(found)


def _combined(
    own: Tensor,
    others: Sequence[Tensor],
    where: Tensor | None,
    of_own: Tensor,
    of_others: Tensor,
    of_sign: Tensor,
) -> Tensor:
    """of_own v + sum_k of_other_k w_k + of_sign sign(v), sample by sample."""
    v = masked(own, where)
    total = v * of_own[:, None, None] + v.sign() * of_sign[:, None, None]
    for other, weight in zip(others, of_others, strict=True):
        total = total + masked(other.to(own.dtype), where) * weight[:, None, None]
    return masked(total, where)


def _sum(
    expression: Callable[..., Tensor],
    student: Tensor,
    teachers: Sequence[Tensor],
    where: Tensor | None,
    *more: Tensor,
) -> Tensor:
    """An expression that sums over each sample, in float64 from piece to piece."""
    whole = compiled(expression, student, student, teachers, where, *more)
    if whole is not None:
        return whole.double()
    parts = [expression(*piece, *more).double() for piece in _pieces(student, teachers, where)]
    return torch.stack(parts).sum(0)


def _combination(own: Tensor, others: Sequence[Tensor], where: Tensor | None, *weights: Tensor) -> Tensor:
    weights = tuple(each.to(own.dtype) for each in weights)
    whole = compiled(_combined, own, own, others, where, *weights)
    if whole is not None:
        return whole
    return torch.cat([_combined(*piece, *weights) for piece in _pieces(own, others, where)], 2)


def _pieces(
    own: Tensor, others: Sequence[Tensor], where: Tensor | None
) -> Iterator[tuple[Tensor, list[Tensor], Tensor | None]]:
    """All maps piece by piece along the voxels; on a GPU at once."""
    step = max(PIECE // own.shape[1], 1) if own.device.type == "cpu" else own.shape[2]
    for start in range(0, own.shape[2], max(step, 1)):
        here = (..., slice(start, start + step))
        yield own[here], [other[here] for other in others], None if where is None else where[here]
