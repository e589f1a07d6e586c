"""Attention transfer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.reduction import check_pair, masked


def attention(feature: Float[Tensor, "batch channel *space"], power: float) -> Float[Tensor, "batch voxel"]:
    """The spatial attention vector mean_c |F|^p, of unit L2 length over the voxels of each sample."""
    return F.normalize(feature.abs().pow(power).mean(1).flatten(1), dim=1)


@dataclass(frozen=True)
class AttentionTransfer:
    """Sum over voxels of (A(student) - A(teacher))^2, averaged over the batch; A = unit L2 of mean_c |F|^p.

    Zagoruyko and Komodakis, 2017, with p = 2 (their code averages over voxels too and weighs by 1000); EMKD's and
    HLFD's importance maps are p = 4. Channels are collapsed, so any two widths compare without a projector. The
    value lies in [0, 2].

    Args:
        power: p > 0.
    """

    needs_equal_width: ClassVar[bool] = False

    power: Annotated[float, Field(gt=0)] = 2.0

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel_t *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student[:, :1], teacher[:, :1])
        difference = attention(masked(student, where), self.power) - attention(masked(teacher, where), self.power)
        return difference.square().sum(1).mean()
