"""Alignment of globally pooled maps, a small network a side."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from segdistill.projectors.relative_error import relative_error


class Alignment(nn.Module):
    """Both maps, averaged over space, through a two-layer network a side to vectors of one width.

    After the alignment networks (MSAN) of GKD (Qi et al., 2024), which bring each model's bottleneck to a vector that
    does not depend on the domain; their training code is not published, so what teaches them here is our reading
    (status: close): the teacher's side learns from `own_loss` alone, to give its pooled vector back; the student's side
    learns from the distillation.

    Args:
        student_width: channels of the student's map (data-given).
        teacher_width: channels of the teacher's map (data-given).
        spatial_dims: 2 or 3 (data-given); it makes no difference here.
        hidden: width of the hidden layers.
        latent: width of the vectors that are compared.
    """

    def __init__(
        self,
        student_width: int,
        teacher_width: int,
        spatial_dims: int = 0,
        *,
        hidden: Annotated[int, Field(ge=1)] = 64,
        latent: Annotated[int, Field(ge=1)] = 32,
    ) -> None:
        super().__init__()
        self.project = _perceptron(student_width, hidden, latent)
        self.encode = _perceptron(teacher_width, hidden, latent)
        self.decode = _perceptron(latent, hidden, teacher_width)

    def forward(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, *space), (B, T, *space) -> both (B, latent, 1, 1[, 1]); no gradient reaches the teacher's encoder."""
        ones = [1] * (student.ndim - 2)
        with torch.no_grad():
            encoded = self.encode(_pooled(teacher))
        return self.project(_pooled(student)).reshape(len(student), -1, *ones), encoded.reshape(
            len(teacher), -1, *ones
        )

    def own_loss(self, teacher: Tensor) -> Tensor:
        """Mean square error of the decoded vector over the variance of the teacher's pooled vectors."""
        pooled = _pooled(teacher)
        return relative_error(self.decode(self.encode(pooled)), pooled)


def _perceptron(old: int, hidden: int, new: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(old, hidden), nn.ReLU(), nn.Linear(hidden, new))


def _pooled(feature: Tensor) -> Tensor:
    """(batch, channel, *space) -> (batch, channel): the mean over voxels."""
    return feature.flatten(2).mean(2)
