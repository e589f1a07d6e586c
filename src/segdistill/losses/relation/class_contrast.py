"""Contrast between classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from segdistill.losses.relation.prototypes import labelled_voxels, pair_mean, prototypes
from segdistill.losses.unit import unit


@dataclass(frozen=True)
class ClassContrast:
    """Mean over pairs of classes (k, l), then over the batch, of (cos(mu_k, mu_l)(student) - the teacher's)^2.

    mu_k is the mean feature over the voxels that the label gives to class k. EMKD's region affinity
    (`region_affinity`; Qin et al., 2021) for all pairs of classes: with two classes they are the same. A class
    that a sample does not have is left out of its pairs; a sample of fewer than two classes counts as 0. Any two
    widths compare. The value lies in [0, 4].

    Raises:
        ValueError: the label is on another grid.
    """

    needs_equal_width: ClassVar[bool] = False
    needs_label: ClassVar[bool] = True

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel_t *space"],
        label: Float[Tensor, "batch class *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        own, other, planes, weight = labelled_voxels(student, teacher, label, where)
        planes = planes * weight[:, None]
        (own, present), (other, _) = prototypes(own, planes), prototypes(other, planes)
        own, other = unit(own, 2), unit(other, 2)
        return pair_mean((own @ own.mT - other @ other.mT).square(), present)
