"""A fixed random projection of the channels, without anything to learn."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from segdistill.projectors.convolution import CONVOLUTION


class RandomConvolution(nn.Module):
    """A random 1x1 convolution to the other side's width, drawn once from `seed` and never trained.

    A learned projection of the teacher's map would be trained by the distillation's gradient to map everything to
    one point, where the loss is least; a fixed one cannot. Its matrix is orthogonal, as distances then survive:
    exactly, up to one factor, where the width grows, and on average where it shrinks (Johnson and Lindenstrauss, 1984).
    It is scaled so that the mean square of a channel is kept (of uncorrelated channels, where the width shrinks).
    There is no bias. Equal widths are left alone.

    `redraw` draws a new convolution with torch's default weights and bias in every call, as HLFD's published code does
    (Gorade et al., 2024), from torch's global generator; for equal widths, too. What is compared then changes at every
    step; for parity only.

    Args:
        student_width: channels of the student's map (data-given).
        teacher_width: channels of the teacher's map (data-given).
        spatial_dims: 2 or 3 (data-given).
        side: whose map is changed; `teacher` (default) keeps the gradient free of it.
        seed: of the fixed matrix; no other random numbers are used or changed.
        redraw: draw anew in every call.
    """

    matrix: Tensor

    def __init__(
        self,
        student_width: int,
        teacher_width: int,
        spatial_dims: int,
        *,
        side: Literal["teacher", "student"] = "teacher",
        seed: Annotated[int, Field(ge=0)] = 0,
        redraw: bool = False,
    ) -> None:
        super().__init__()
        self.side, self.redraw = side, redraw
        self.convolution = CONVOLUTION[spatial_dims]
        old, new = (teacher_width, student_width) if side == "teacher" else (student_width, teacher_width)
        generator = torch.Generator().manual_seed(seed)
        gain = max(new / old, 1.0) ** 0.5
        matrix = nn.init.orthogonal_(torch.empty(new, old), gain, generator)
        self.register_buffer("matrix", matrix, persistent=False)

    def forward(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, *space), (B, T, *space) -> both of the width of the side that is not changed."""
        if self.side == "teacher":
            return student, self._project(teacher)
        return self._project(student), teacher

    def _project(self, feature: Tensor) -> Tensor:
        new, old = self.matrix.shape
        if self.redraw:
            drawn = self.convolution(old, new, kernel_size=1, device=feature.device, dtype=feature.dtype)
            return drawn.requires_grad_(False)(feature)
        if new == old:
            return feature
        return torch.einsum("nc,bc...->bn...", self.matrix.to(feature.dtype), feature)
