"""Distillation of edges: how steeply class probabilities change in space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from segdistill.losses.reduction import check_pair, voxel_mean


def edges(
    values: Float[Tensor, "batch class *space"], where: Float[Tensor, "batch 1 *space"] | None
) -> Float[Tensor, "batch class *space"]:
    """Length of the spatial gradient of each channel, per voxel.

    Central differences; one-sided at the faces of the patch and beside voxels that `where` leaves out, 0 where both
    neighbours are missing. Where the length is 0, its derivative is taken as 0.
    """
    counts = torch.ones_like(values[:, :1]) if where is None else (where > 0).to(values.dtype)
    squares = torch.zeros_like(values)
    for axis in range(2, values.ndim):
        pairs = values.shape[axis] - 1
        known = counts.narrow(axis, 0, pairs) * counts.narrow(axis, 1, pairs)
        steps = both_sides(values.diff(dim=axis) * known, axis)
        squares = squares + (steps / both_sides(known, axis).clamp_min(1)).square()
    flat = squares == 0
    return squares.masked_fill(flat, 1).sqrt().masked_fill(flat, 0)


def both_sides(between: Tensor, axis: int) -> Tensor:
    """What lies between neighbours along `axis`, summed at each voxel over its two sides; beyond a face there is 0."""
    other_axes = [0, 0] * (between.ndim - 1 - axis)
    return F.pad(between, [*other_axes, 0, 1]) + F.pad(between, [*other_axes, 1, 0])


@dataclass(frozen=True)
class EdgeMaps:
    """Squared difference of the edge maps |grad p| of the class probabilities p = softmax(logits).

    Inspired by boundary-guided distillation (Wen et al., 2021), not a reproduction: the student learns how sharp the
    teacher draws each boundary and where; no label is asked. Summed over classes, averaged over voxels and batch. The
    gradient is of central differences (see `edges`), the voxel its unit of length whatever the spacing; the value
    lies in [0, K d] for K classes in d dimensions.

    A voxel of `where` 0 takes part in no difference. Not patch-invariant: where tiles meet there are new edges.

    Raises:
        ValueError: fewer than two channels.
    """

    over_classes: ClassVar[bool] = True

    def __call__(
        self,
        student: Float[Tensor, "batch class *space"],
        teacher: Float[Tensor, "batch class *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher, least_channels=2)
        precision = torch.promote_types(student.dtype, torch.float32)
        own = edges(student.to(precision).softmax(1), where)
        other = edges(teacher.to(precision).softmax(1), where)
        return voxel_mean((own - other).square().sum(1), where)
