"""Transfer of which channels are active."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from segdistill.losses.reduction import at_least_float32, check_pair
from segdistill.losses.unit import unit
from segdistill.losses.voxels import sample_means


@dataclass(frozen=True)
class ChannelAttention:
    """Sum over channels of (g(student) - g(teacher))^2, batch mean; g = unit L2 of the global average of |F|.

    The channels' squeeze of Hu et al., 2018 (Eq. 2) without the learned excitation, of absolute values, as maps
    before a normalisation average to about 0. Lies in [0, 2]. Inspired by Qing and Qi, 2024, whose teacher has channel
    attention and of whom only the title is open. A sample without a voxel in `where` counts as 0.
    """

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher)
        own = unit(sample_means(at_least_float32(student).abs(), where)[0], 1)
        other = unit(sample_means(at_least_float32(teacher).abs(), where)[0], 1)
        return (own - other).square().sum(1).mean()
