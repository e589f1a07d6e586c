"""Knowledge adaptation: the student meets the teacher in the latent space of an autoencoder."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from segdistill.projectors.convolution import CONVOLUTION
from segdistill.projectors.relative_error import relative_error


class Autoencoder(nn.Module):
    """Encoded teacher and 1x1-projected student at the same latent width (He et al., 2019).

    Encoder: 3x3 convolution and ReLU; decoder: 3x3 convolution. They learn from `own_loss` alone: reconstruction and
    an L1 norm that makes the latent map sparse. The student's 1x1 convolution learns from the distillation.

    The paper trains its autoencoder before the student, with strides, and then freezes it; here it is trained beside
    the student, at stride 1, and what the distillation sees of it is detached (status: close). For the paper's
    distance of unit-normalised maps take a loss that normalises.

    Args:
        student_width: channels of the student's map (data-given).
        teacher_width: channels of the teacher's map (data-given).
        spatial_dims: 2 or 3 (data-given).
        latent: channels of the latent map.
        alpha: weight of mean |latent| beside the relative reconstruction error.
    """

    def __init__(
        self,
        student_width: int,
        teacher_width: int,
        spatial_dims: int,
        *,
        latent: Annotated[int, Field(ge=1)] = 32,
        alpha: Annotated[float, Field(ge=0)] = 1e-4,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        convolution = CONVOLUTION[spatial_dims]
        self.project = convolution(student_width, latent, kernel_size=1)
        self.encode = nn.Sequential(
            convolution(teacher_width, latent, kernel_size=3, padding=1),
            nn.ReLU(),
        )
        self.decode = convolution(latent, teacher_width, kernel_size=3, padding=1)

    def forward(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, *space), (B, T, *space) -> both (B, latent, *space); no gradient reaches the encoder."""
        with torch.no_grad():
            encoded = self.encode(teacher)
        return self.project(student), encoded

    def own_loss(self, teacher: Tensor) -> Tensor:
        """Mean square error over the variance of the teacher's map, plus alpha mean |latent|."""
        encoded = self.encode(teacher)
        return relative_error(self.decode(encoded), teacher) + self.alpha * encoded.abs().mean()
