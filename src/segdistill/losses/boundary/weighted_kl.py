"""Response distillation averaged with the weights of a label's boundaries."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segdistill.losses.response.kl import KL


def weighted_kl(
    kl: KL,
    student: Float[Tensor, "batch class *space"],
    teacher: Float[Tensor, "batch class *space"],
    weight: Tensor,
    where: Float[Tensor, "batch 1 *space"] | None,
) -> Float[Tensor, ""]:
    """`kl` in float32 at least, over the voxels by `weight` (batch, 1, *space; of any type) times `where`."""
    precision = torch.promote_types(student.dtype, torch.float32)
    weight = weight.to(precision)
    weight = weight if where is None else weight * where
    return kl(student.to(precision), teacher.to(precision), weight)
