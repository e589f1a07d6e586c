"""Attention transfer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.reduction import check_pair, masked


def attention(feature: Float[Tensor, "batch channel *space"], power: float) -> Float[Tensor, "batch voxel"]:
    """The attention vector mean_c |F|^p of each sample, of unit L2 length over its voxels; 0 where F is 0."""
    size = feature.abs()
    # The length is divided out, so any scale will do; the largest value keeps |F|^p within the number range.
    peak = size.detach().amax(dim=tuple(range(1, size.ndim)), keepdim=True)
    size = size / torch.where(peak > 0, peak, 1.0)
    return F.normalize(size.pow(power).mean(1).flatten(1), dim=1)


@dataclass(frozen=True)
class AttentionTransfer:
    """Sum over voxels of (A(student) - A(teacher))^2, batch mean; A = unit L2 of mean_c |F|^p.

    Zagoruyko and Komodakis, 2017, with p = 2 (their code averages over voxels too and weighs by 1000); EMKD's
    and HLFD's importance maps are p = 4. Channels are collapsed, so any two widths compare without a
    projector. The value lies in [0, 2].

    Args:
        power: p >= 1; below 1 there is no gradient where a feature is 0.
    """

    needs_equal_width: ClassVar[bool] = False

    power: Annotated[float, Field(ge=1)] = 2.0

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel_t *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher, any_width=True)
        own = attention(masked(student, where), self.power)
        other = attention(masked(teacher, where), self.power)
        return (own - other).square().sum(1).mean()
