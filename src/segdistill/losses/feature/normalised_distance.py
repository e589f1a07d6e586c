"""The distance of two vectors of L1 length 1, in as few passes over them as it takes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def normalised_distance(
    student: Tensor,
    teacher: Tensor,
) -> Tensor:
    """|| s / ||s||_1 - t / ||t||_1 ||_2 of each row: (batch, n), (batch, n) -> (batch,).

    A row of zeros stays 0, with the gradient of a row that is not divided; where both are equal the gradient is 0. Maps
    at full resolution are by far the largest tensors of a distillation step, and each of autograd's own steps would go
    over them once more: written out, forward and backward take half of the passes.
    """
    found: Tensor = _Distance.apply(student, teacher)
    return found


class _Distance(torch.autograd.Function):
    """With d = s - (a / b) t, a and b the L1 lengths: the distance is ||d|| / a."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor) -> Tensor:
        lengths = [torch.linalg.vector_norm(each, ord=1, dim=1) for each in (student, teacher)]
        a, b = (torch.where(length > 0, length, 1.0) for length in lengths)
        difference = torch.addcmul(student, teacher, (a / b)[:, None], value=-1)
        norm = torch.linalg.vector_norm(difference, dim=1)
        ctx.save_for_backward(student, teacher, difference, norm, a, b, *lengths)
        return norm / a

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        student, teacher, difference, norm, a, b, length_s, length_t = ctx.saved_tensors
        unit = torch.where(norm > 0, gradient / norm, 0.0)  # of d / ||d||; 0 where both are equal
        wanted = ctx.needs_input_grad
        to_student = _through_length(difference, student, unit / a, length_s) if wanted[0] else None
        to_teacher = _through_length(difference, teacher, -unit / b, length_t) if wanted[1] else None
        return to_student, to_teacher


def _through_length(difference: Tensor, vector: Tensor, weight: Tensor, length: Tensor) -> Tensor:
    """weight (d - (d . v / ||v||_1) sign(v)): the gradient of v / ||v||_1, whose length changes with v."""
    dot = torch.linalg.vecdot(difference, vector)
    slope = torch.where(length > 0, dot / torch.where(length > 0, length, 1.0), 0.0) * weight
    # In place: each new tensor of this size costs as much as the arithmetic.
    return vector.sign().mul_(-slope[:, None]).addcmul_(difference, weight[:, None])
