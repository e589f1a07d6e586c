"""A learned projection of the student's map."""

from __future__ import annotations

from torch import Tensor, nn

CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
"""By spatial dimensions."""


class Convolution(nn.Module):
    """A learned 1x1 convolution from the student's width to the teacher's; trained with it, never exported.

    Args:
        student_width: channels of the student's map (data-given).
        teacher_width: channels of the teacher's map (data-given).
        spatial_dims: 2 or 3 (data-given).
    """

    def __init__(self, student_width: int, teacher_width: int, spatial_dims: int) -> None:
        super().__init__()
        self.project = CONVOLUTION[spatial_dims](student_width, teacher_width, kernel_size=1)

    def forward(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, *space), (B, T, *space) -> both (B, T, *space)."""
        return self.project(student), teacher
