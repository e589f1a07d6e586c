"""Distances between classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from segdistill.losses.relation.prototypes import labelled_voxels, pair_mean, prototypes
from segdistill.losses.voxels import quotient


@dataclass(frozen=True)
class ClassDistances:
    """Mean over pairs of classes (k, l), then over the batch, of (d_kl(student) - d_kl(teacher))^2.

    d_kl = ||mu_k - mu_l|| / r: the distance of the mean features of two classes, in units of the root mean square
    length r of the features of the sample, so that scales and widths may differ. Divided by the mean distance, as
    RKD's, two classes would always be at distance 1. A reading of inter-class variation (Zhang et al., 2023) after
    inter-class distance distillation (Zhang et al., 2022); it reproduces neither.

    A class that a sample does not have is left out of its pairs; a sample of fewer than two classes counts as 0.

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
        (own, present), (other, _) = distances(own, planes, weight), distances(other, planes, weight)
        return pair_mean((own - other).square(), present)


def distances(
    values: Float[Tensor, "batch channel voxel"],
    planes: Float[Tensor, "batch class voxel"],
    weight: Float[Tensor, "batch voxel"],
) -> tuple[Float[Tensor, "batch class class"], Float[Tensor, "batch class"]]:
    """Distances of the class means in units of the root mean square length, and which classes are there."""
    # The scale is divided out; the largest value that counts keeps the squares within the number range.
    peak = (values.detach() * (weight[:, None] > 0)).abs().amax((1, 2), keepdim=True)
    values = values / torch.where(peak > 0, peak, 1.0)
    mean_square = quotient((values.square().sum(1) * weight).sum(1), weight.sum(1))[:, None, None]
    means, present = prototypes(values, planes)
    lengths = torch.linalg.vector_norm(means[:, :, None] - means[:, None], dim=3)
    return lengths / torch.where(mean_square > 0, mean_square, 1.0).sqrt(), present
