"""Teach-Former's attention feature similarity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

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

    half_teacher: ClassVar[bool] = True  # takes the teacher's map in half precision, as it was recorded

    norm: Norm = "l1_global"

    @property
    def needs_equal_width(self) -> bool:
        """`at_l2` collapses the channels, so that any two widths compare."""
        return self.norm != "at_l2"

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel_t *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        return self.of_several(student, [teacher], [1.0], where)

    def of_several(
        self,
        student: Tensor,
        teachers: Sequence[Tensor],
        weights: Sequence[float],
        where: Tensor | None = None,
    ) -> Tensor:
        """sum_k w_k loss(student, teacher_k); of `l1_global` in one pass over all the maps."""
        for teacher in teachers:
            check_pair(student, teacher, any_width=not self.needs_equal_width)
        if self.norm == "l1_global":
            flat = [each.flatten(2) for each in (student, *teachers)]
            seen = None if where is None else where.flatten(2)
            return normalised_distances(flat[0], flat[1:], weights, seen).mean()
        own = self._normalised(masked(student, where))
        total = student.new_zeros(())
        for teacher, weight in zip(teachers, weights, strict=True):
            difference = own - self._normalised(masked(teacher.to(student.dtype), where))
            total = total + weight * torch.linalg.vector_norm(difference.flatten(1), dim=1).mean()
        return total

    def _normalised(self, feature: Tensor) -> Tensor:
        if self.norm == "at_l2":
            return attention(feature, power=2.0)
        flat = feature.flatten(2)
        length = flat.abs().sum(1 if self.norm == "l1_channel" else -1, keepdim=True)
        # 0 stays 0; a small epsilon instead of 1 would be the reciprocal of its gradient.
        return flat / torch.where(length > 0, length, 1.0)
