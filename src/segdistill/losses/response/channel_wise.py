"""Channel-wise distillation (CWD)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.reduction import at_least_float32, check_pair


@dataclass(frozen=True)
class ChannelWise:
    """T^2 KL(teacher || student) of softmax(map / T) over SPACE, for each channel (Shu et al., 2021).

    Each channel says where it looks, whatever its scale elsewhere. Summed over voxels, averaged over channels
    and batch: the official value. Logits, regions and features of equal width alike. Tiling the space divides
    all shares alike, so the value does not depend on the size of the patch, although the softmax runs over it.

    Voxels with `where` 0 are outside of the softmax; other weights multiply the exponentials. A sample without
    any weight counts as 0.

    Args:
        temperature: T > 0; 4 is the paper's, for logits.
    """

    temperature: Annotated[float, Field(gt=0)] = 4.0

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher)
        weight = torch.ones_like(student[:, :1]) if where is None else where
        weight = at_least_float32(weight).flatten(2)
        heard = (weight > 0).any(2, keepdim=True)
        weight = torch.where(heard, weight, 1.0)  # so that a softmax over nothing is not asked for
        log_student, log_teacher = self._log_shares(student, weight), self._log_shares(teacher, weight)
        log_ratio = (log_teacher - log_student).masked_fill(weight == 0, 0.0)
        divergence = (log_teacher.exp() * log_ratio).sum(2, keepdim=True) * heard
        return divergence.mean() * self.temperature**2

    def _log_shares(
        self, maps: Float[Tensor, "batch channel *space"], weight: Float[Tensor, "batch 1 voxel"]
    ) -> Float[Tensor, "batch channel voxel"]:
        """log of each voxel's share of its channel; -inf where the weight is 0."""
        return F.log_softmax(at_least_float32(maps).flatten(2) / self.temperature + weight.log(), dim=2)
