"""A learned compression of the teacher's map that keeps what it needs to give the map back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segdistill.projectors.convolution import CONVOLUTION
from segdistill.projectors.relative_error import relative_error


class Reconstruction(nn.Module):
    """A 1x1 convolution of the teacher's map to the student's width, trained to reconstruct the teacher's map.

    The simplest form of the translated teacher of Kim et al., 2018 (their paraphraser), trained beside the student:
    the encoder learns from `own_loss` alone, as the distillation's gradient would have it map everything to one point.
    A linear encoder and decoder learn the leading principal components of the teacher's channels, up to a change of
    basis. The student's map is not changed.

    Args:
        student_width: channels of the student's map (data-given).
        teacher_width: channels of the teacher's map (data-given).
        spatial_dims: 2 or 3 (data-given).
    """

    def __init__(self, student_width: int, teacher_width: int, spatial_dims: int) -> None:
        super().__init__()
        convolution = CONVOLUTION[spatial_dims]
        self.encode = convolution(teacher_width, student_width, kernel_size=1)
        self.decode = convolution(student_width, teacher_width, kernel_size=1)

    def forward(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, *space), (B, T, *space) -> both (B, S, *space); no gradient reaches the encoder."""
        with torch.no_grad():
            return student, self.encode(teacher)

    def own_loss(self, teacher: Tensor) -> Tensor:
        """Mean square error of the reconstruction over the variance of the teacher's map."""
        return relative_error(self.decode(self.encode(teacher)), teacher)
