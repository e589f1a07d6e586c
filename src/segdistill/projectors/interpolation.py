"""Channels brought to another number by interpolation, without anything to learn."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Interpolation(nn.Module):
    """Parameter-free: channels seen as a 1-D axis, interpolated to the other side's width (Teach-Former).

    The paper interpolates because "the student model has fewer feature channels than teachers"; that is not
    so for every pair of its networks, hence both directions.

    Args:
        student_width: channels of the student's map (data-given).
        teacher_width: channels of the teacher's map (data-given).
        spatial_dims: 2 or 3 (data-given); it makes no difference here.
        side: whose map is changed; `teacher` (default) keeps the gradient free of it and the tensors small.
        mode: how; `area` averages where channels shrink.
    """

    matrix: Tensor

    def __init__(
        self,
        student_width: int,
        teacher_width: int,
        spatial_dims: int = 0,
        *,
        side: Literal["teacher", "student"] = "teacher",
        mode: Literal["linear", "nearest", "area"] = "linear",
    ) -> None:
        super().__init__()
        self.side = side
        old, new = (teacher_width, student_width) if side == "teacher" else (student_width, teacher_width)
        impulses = torch.eye(old)[None]
        options = {"align_corners": False} if mode == "linear" else {}
        matrix = F.interpolate(impulses, size=new, mode=mode, **options)[0].T
        self.register_buffer("matrix", matrix.contiguous(), persistent=False)

    def forward(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, *space), (B, T, *space) -> both of one width."""
        if self.side == "teacher":
            return student, self._interpolate(teacher)
        return self._interpolate(student), teacher

    def _interpolate(self, feature: Tensor) -> Tensor:
        if self.matrix.shape[0] == self.matrix.shape[1]:
            return feature
        return torch.einsum("nc,bc...->bn...", self.matrix.to(feature.dtype), feature)
