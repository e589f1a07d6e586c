"""EMKD's region affinity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from segdistill.losses.relation.prototypes import labelled_voxels, pair_mean, prototypes
from segdistill.losses.unit import unit


@dataclass(frozen=True)
class RegionAffinity:
    """(cos(mu_foreground, mu_background)(student) - the teacher's)^2, batch mean (EMKD's RAD; Qin et al., 2021).

    mu is the mean feature of a region; foreground is the union of all foreground planes. In the units of the
    published code (weight 0.9), whose value is not a number for a patch without background or foreground: such a
    sample is left out, it counts as 0. Any two widths compare. The value lies in [0, 4].

    Args:
        regions: the planes are overlapping regions, none of them background: all are foreground, and background is
            every voxel that counts and is in none. Then the label alone does not tell an ignored voxel from
            background: `where` must be 0 there. Else plane 0 is background, and a voxel of no plane is ignored.

    Raises:
        ValueError: the label is on another grid, or has no foreground plane.
    """

    needs_equal_width: ClassVar[bool] = False
    needs_label: ClassVar[bool] = True

    regions: bool = False

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel_t *space"],
        label: Float[Tensor, "batch class *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        own, other, planes, weight = labelled_voxels(student, teacher, label, where)
        planes = self._planes(planes) * weight[:, None]
        (own, present), (other, _) = prototypes(own, planes), prototypes(other, planes)
        own, other = unit(own, 2), unit(other, 2)
        return pair_mean((own @ own.mT - other @ other.mT).square(), present)

    def _planes(self, label: Float[Tensor, "batch class voxel"]) -> Float[Tensor, "batch 2 voxel"]:
        """Foreground and background."""
        if self.regions:
            foreground = label.amax(1)
            return torch.stack([foreground, 1 - foreground], dim=1)
        if label.shape[1] < 2:
            raise ValueError(
                "plane 0 of the label is background, so 2 planes at least, got 1: set `regions` for overlapping regions"
            )
        return torch.stack([label[:, 1:].amax(1), label[:, 0]], dim=1)
