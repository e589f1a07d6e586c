"""Mean squared difference of maps (FitNets' hint; logit matching)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from segdistill.losses.reduction import check_pair, voxel_mean


@dataclass(frozen=True)
class MSE:
    """Mean over channels, voxels and batch of (student - teacher)^2 (Romero et al., 2015).

    Channels are averaged, not summed like classes: the weight of a hint then does not depend on the width
    that a projector brings both sides to.
    """

    by_voxel: ClassVar[bool] = True  # a mean over voxels: several teachers can share each of them

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher)
        return voxel_mean((student - teacher).square().mean(1), where)
