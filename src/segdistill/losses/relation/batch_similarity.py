"""Similarity-preserving distillation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from segdistill.losses.reduction import check_pair
from segdistill.losses.unit import unit
from segdistill.losses.voxels import voxels


@dataclass(frozen=True)
class BatchSimilarity:
    """Mean over pairs of samples (a, b) of (G_ab(student) - G_ab(teacher))^2 (Tung and Mori, 2019).

    G = Q Q^T with a row of Q for each sample, all its channels and voxels, and rows of G of unit L2 length; the mean
    over batch^2 pairs is the paper's, which weighs it by 3000. Any two widths compare.

    Not batch-invariant: the samples of a batch are compared with each other. A batch of one has nothing to compare
    and gives 0. The effective batch is that of one device.
    """

    least_samples: ClassVar[int] = 2

    needs_equal_width: ClassVar[bool] = False

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel_t *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher, any_width=True)
        alone = len(student) == 1  # its similarity with itself is 1, or 0 for a map of zeros: no relation
        difference = similarities(student, where) - similarities(teacher, where)
        return difference.square().mean() * (not alone)


def similarities(
    feature: Float[Tensor, "batch channel *space"], where: Float[Tensor, "batch 1 *space"] | None
) -> Float[Tensor, "batch batch"]:
    """Inner products of the samples with each other, rows of unit L2 length."""
    values, weight = voxels(feature, where)
    rows = (values * weight.sqrt()[:, None]).flatten(1)
    peak = rows.detach().abs().max()  # the scale of all rows is divided out
    rows = rows / torch.where(peak > 0, peak, 1.0)
    return unit(rows @ rows.mT, 1)
