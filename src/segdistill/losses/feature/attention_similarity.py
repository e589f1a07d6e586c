"""Teach-Former's attention feature similarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from segdistill.losses.feature.attention_transfer import attention
from segdistill.losses.reduction import check_pair, masked

Norm = Literal["l1_global", "l1_channel", "l1_space", "at_l2"]


@dataclass(frozen=True)
class AttentionSimilarity:
    """|| N(student) - N(teacher) ||_2 over all elements of a sample, averaged over the batch (Teach-Former, Eq. 1).

    N is the paper's normalisation F / ||F||_1, whose axes are not printed:

    - `l1_global`: over all elements of a sample, the literal reading. Two unrelated maps of n elements are then about
      1 / sqrt(n) apart: 3e-4 for a full-size map, next to Dice + focal of about 1. **Not patch-invariant.**
    - `l1_channel`: over the channels of each voxel. Grows like sqrt(voxels): it dominates. Not patch-invariant.
    - `l1_space`: over the voxels of each channel. Falls like 1 / sqrt(voxels). Not patch-invariant.
    - `at_l2`: the unit-length attention vector of `attention_transfer` with p = 2 in place of F (the paper cites it).
      Lies in [0, 2] at every size; this is what we advise.

    The norm is not squared, as printed, so the gradient at student = teacher does not exist; an epsilon of 1e-12
    under the root makes it 0. Not differentiable at equal.

    Args:
        norm: what N is.
    """

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
        if self.needs_equal_width:
            check_pair(student, teacher)
        else:
            check_pair(student[:, :1], teacher[:, :1])
        difference = self._normalised(masked(student, where)) - self._normalised(masked(teacher, where))
        return torch.sqrt(difference.square().flatten(1).sum(1) + 1e-12).mean()

    def _normalised(self, feature: Tensor) -> Tensor:
        if self.norm == "at_l2":
            return attention(feature, power=2.0)
        if self.norm == "l1_channel":
            return F.normalize(feature, p=1.0, dim=1)
        flat = feature.flatten(1 if self.norm == "l1_global" else 2)
        return F.normalize(flat, p=1.0, dim=-1)
