"""Gram matrices of the channels."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from segdistill.losses.reduction import check_pair
from segdistill.losses.unit import unit
from segdistill.losses.voxels import voxels


@dataclass(frozen=True)
class Gram:
    """Mean over pairs of channels (c, d) and batch of (G_cd(student) - G_cd(teacher))^2; G = cosines over space.

    G_cd is the cosine of two channels as vectors of voxels: which features appear together, wherever that is. Gatys
    et al., 2015, leave the Gram matrix as large as the features are; SSD-KD's code takes the root of the mean of
    squares over batch and pairs of f f^T / (C N), and weighs it by 1000. Of unit length, the number depends neither
    on the size of the features nor on that of the patch; it lies in [0, 4]. A channel of zeros has cosine 0.
    """

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher)
        return (gram(student, where) - gram(teacher, where)).square().mean()


def gram(
    feature: Float[Tensor, "batch channel *space"], where: Float[Tensor, "batch 1 *space"] | None
) -> Float[Tensor, "batch channel channel"]:
    """Cosines of the channels of each sample, voxels counting by their weight."""
    values, weight = voxels(feature, where)
    values = unit(values * weight.sqrt()[:, None], 2)
    return values @ values.mT
