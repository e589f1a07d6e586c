"""Intra-class feature variation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from segdistill.losses.relation.prototypes import labelled_voxels, prototypes
from segdistill.losses.unit import unit
from segdistill.losses.voxels import quotient


@dataclass(frozen=True)
class ClassVariation:
    """Mean over labelled voxels n, then over the batch, of (v_n(student) - v_n(teacher))^2 (IFVD; Wang et al., 2020).

    v_n = cos(F_n, mu_k), the cosine of a voxel with the mean feature of its own class k; a voxel of several regions
    counts once in each. The published code weighs it by 200 and averages over all voxels, unlabelled ones adding 0:
    its value is ours x the share of labelled voxels (per sample). A class that a sample does not have, and voxels of
    no class, are left out; a sample without any label counts as 0. Any two widths compare. The value lies in [0, 4].

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
        squares = (variation(own, planes) - variation(other, planes)).square() * planes
        return quotient(squares.sum((1, 2)), planes.sum((1, 2))).mean()


def variation(
    values: Float[Tensor, "batch channel voxel"], planes: Float[Tensor, "batch class voxel"]
) -> Float[Tensor, "batch class voxel"]:
    """The cosine of each voxel with the mean of each class."""
    means, _ = prototypes(values, planes)
    return torch.einsum("bcn,bkc->bkn", unit(values, 1), unit(means, 2))
