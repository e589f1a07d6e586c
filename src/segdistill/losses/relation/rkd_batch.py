"""Relational knowledge distillation between the samples of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from segdistill.losses.reduction import check_pair
from segdistill.losses.relation.rkd import Relation, relational
from segdistill.losses.voxels import sample_means


@dataclass(frozen=True)
class RKDBatch:
    """Huber loss between the distances, or the angles, of the samples of a batch (Park et al., 2019).

    As `rkd`, but the points are the samples, each averaged over its voxels, as published, and in the units of the
    published code (SSD-KD weighs distances by 25 and angles by 50). A sample without any voxel that counts is left out.

    Not batch-invariant: the samples of a batch are compared with each other, and it takes 3 of them to say anything.
    Two are always at their mean distance from each other.

    Args:
        relation: what is compared.
    """

    least_samples: ClassVar[int] = 3

    needs_equal_width: ClassVar[bool] = False

    relation: Relation = "distance"

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel_t *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher, any_width=True)
        own, present = sample_means(student, where)
        other, _ = sample_means(teacher, where)
        return relational(own[None], other[None], present[None], self.relation).mean()
