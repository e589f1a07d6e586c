"""Masked generative distillation."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from segdistill.projectors.convolution import CONVOLUTION


class MaskedGeneration(nn.Module):
    """The student's map, partly masked, from which the teacher's is generated (MGD, Yang et al., 2022).

    A 1x1 convolution brings the student to the teacher's width where widths differ; in training a random share is
    set to 0; a 3x3 convolution, ReLU and a second 3x3 convolution generate the teacher's map. The student so learns
    a map from which the rest follows, not a copy. Meant for `mse`. The official code sums the squares over channels and
    voxels and averages over the batch: its value is ours * channels * voxels, so that the weight 7e-5 of its masked
    channels is 7e-5 * channels * voxels here. Random numbers come from torch's global generator; nothing is masked in
    evaluation.

    Args:
        student_width: channels of the student's map (data-given).
        teacher_width: channels of the teacher's map (data-given).
        spatial_dims: 2 or 3 (data-given).
        mask: the chance of each channel or voxel to be masked, in [0, 1).
        over: what is masked: whole `channels` (as DSP-KD does) or all channels of single `voxels` (as MGD does for
            dense tasks).
    """

    def __init__(
        self,
        student_width: int,
        teacher_width: int,
        spatial_dims: int,
        *,
        mask: Annotated[float, Field(ge=0, lt=1)] = 0.15,
        over: Literal["channels", "voxels"] = "channels",
    ) -> None:
        super().__init__()
        self.mask, self.over = mask, over
        convolution = CONVOLUTION[spatial_dims]
        same = student_width == teacher_width
        self.align = nn.Identity() if same else convolution(student_width, teacher_width, kernel_size=1)
        self.generate = nn.Sequential(
            convolution(teacher_width, teacher_width, kernel_size=3, padding=1),
            nn.ReLU(),
            convolution(teacher_width, teacher_width, kernel_size=3, padding=1),
        )

    def forward(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, *space), (B, T, *space) -> both (B, T, *space); the teacher's map as it is."""
        feature = self.align(student)
        return self.generate(self._masked(feature) if self.training else feature), teacher

    def _masked(self, feature: Tensor) -> Tensor:
        batch, width, *space = feature.shape
        shape = (batch, width, *[1] * len(space)) if self.over == "channels" else (batch, 1, *space)
        return feature * (torch.rand(shape, device=feature.device) >= self.mask)
