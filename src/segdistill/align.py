"""Bring two maps together: space by resizing, width by a projector, several maps by fusing.

Space: the teacher's map is resized to the student's, by area where it shrinks and linearly where it grows.
Width: by the projector of the term. A list of stages is resized to its smallest map and joined along the
channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def resize(feature: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (batch, channel, *space) to the spatial `size`: by area where no axis grows, else linearly."""
    size = tuple(size)
    if feature.shape[2:] == size:
        return feature
    if all(new <= old for new, old in zip(size, feature.shape[2:], strict=True)):
        return F.interpolate(feature, size, mode="area")
    return F.interpolate(feature, size, mode=LINEAR[len(size)], align_corners=False)


def fuse(maps: Sequence[Tensor]) -> Tensor:
    """Resize all maps to the smallest of them and join their channels (HLFD's unified representation)."""
    smallest = min(maps, key=lambda m: m.shape[2:].numel()).shape[2:]
    return torch.cat([resize(m, smallest) for m in maps], dim=1)


class Convolution(nn.Module):
    """A learned 1x1 convolution from the student's width to the teacher's; trained with it, never exported.

    Args:
        student_width: channels of the student's map (data-given).
        teacher_width: channels of the teacher's map (data-given).
        spatial_dims: 2 or 3 (data-given).
    """

    def __init__(self, student_width: int, teacher_width: int, spatial_dims: int) -> None:
        super().__init__()
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[spatial_dims]
        self.project = convolution(student_width, teacher_width, kernel_size=1)

    def forward(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, *space), (B, T, *space) -> both (B, T, *space)."""
        return self.project(student), teacher


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


@dataclass(frozen=True)
class Row:
    """A projector: `part(student_width, teacher_width, spatial_dims)`, called as `part(student, teacher)`.

    It returns both maps, now of one width.
    """

    part: Any
    summary: str


PROJECTORS: dict[str, Row] = {
    "convolution": Row(Convolution, "Learned 1x1 convolution on the student's side (FitNets)"),
    "interpolation": Row(Interpolation, "Parameter-free interpolation of the channels (Teach-Former)"),
}
