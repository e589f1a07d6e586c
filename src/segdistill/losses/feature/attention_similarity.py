"""Teach-Former's attention feature similarity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from segdistill.losses.feature.attention_transfer import attention
from segdistill.losses.feature.normalised_distance import normalised_distances
from segdistill.losses.reduction import check_pair, masked

Norm = Literal["l1_global", "l1_channel", "l1_space", "at_l2"]


@dataclass(frozen=True)
class AttentionSimilarity:
    """|| N(student) - N(teacher) ||_2 over all elements of a sample, batch mean (Teach-Former, Eq. 1).

    N is the paper's normalisation F / ||F||_1, whose axes are not printed:

    - `l1_global`: over all elements of a sample, the literal reading. Two unrelated rectified maps of n
      elements are then about 2 / sqrt(n) apart: 4e-4 for 8 channels of 144^3, beside Dice + focal of about 1.
      Not patch-invariant.
    - `l1_channel`: over the channels of each voxel. Grows like sqrt(voxels): it dominates. Not
      patch-invariant.
    - `l1_space`: over the voxels of each channel. Falls like 1 / sqrt(voxels). Not patch-invariant.
    - `at_l2`: the unit-length attention vector of `attention_transfer` with p = 2 in place of F (the paper
      cites it). Lies in [0, sqrt(2)] at every size; this is what we advise.

    The norm is not squared, as printed, so it has a kink at student = teacher, where its gradient is taken to
    be 0. Not differentiable at equal.

    Args:
        norm: what N is.
    """

    norm: Norm = "l1_global"

    @property
    def needs_equal_width(self) -> bool:
        """`at_l2` collapses the channels, so that any two widths compare."""
        return self.norm != "at_l2"

    @property
    def half_teacher(self) -> bool:
        """Whether it takes the teacher's map in half precision, as it was recorded."""
        return self.norm == "l1_global"

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel_t *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher, any_width=not self.needs_equal_width)
        student, teacher = masked(student, where), masked(teacher, where)
        if self.norm == "l1_global":
            return normalised_distances(student.flatten(1), [teacher.flatten(1)], [1.0]).mean()
        difference = self._normalised(student) - self._normalised(teacher)
        return torch.linalg.vector_norm(difference.flatten(1), dim=1).mean()

    def of_several(self, student: Tensor, teachers: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """sum_k weight_k loss(student, teacher_k), in one pass over the student's map; for `l1_global`.

        Args:
            student, teachers: (batch, channel, *space), of one shape.
        """
        for teacher in teachers:
            check_pair(student, teacher)
        flat = [teacher.flatten(1) for teacher in teachers]
        return normalised_distances(student.flatten(1), flat, weights).mean()

    def _normalised(self, feature: Tensor) -> Tensor:
        if self.norm == "at_l2":
            return attention(feature, power=2.0)
        flat = feature.flatten(2)
        length = flat.abs().sum(1 if self.norm == "l1_channel" else -1, keepdim=True)
        # 0 stays 0; a small epsilon instead of 1 would be the reciprocal of its gradient.
        return flat / torch.where(length > 0, length, 1.0)
