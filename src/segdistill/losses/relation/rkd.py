"""Relational knowledge distillation between the places of a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.reduction import check_pair
from segdistill.losses.relation.nodes import cell, nodes
from segdistill.losses.voxels import quotient

Relation = Literal["distance", "angle"]


@dataclass(frozen=True)
class RKD:
    """Huber loss between the distances, or the angles, of the nodes of a sample; batch mean (Park et al., 2019).

    - `distance`: mean over pairs (i, j), i = j included, of the Huber loss (delta 1) of Euclidean distances, divided by
      their mean over i != j.
    - `angle`: mean over triplets (i, j, k), degenerate ones included, of the Huber loss of cos(x_j - x_i, x_k - x_i).

    Both are the means of the published code, which takes the samples of a batch for points: that is `rkd_batch`
    (SSD-KD weighs distances by 25 and angles by 50). Here points are average-pooled cells of one sample. Scales and
    widths may differ. Points that agree up to rounding are at distance 0. A node counts by the mean weight of its
    cell, and one without any voxel is left out. Not patch-invariant: a larger patch has larger cells.

    Args:
        relation: what is compared.
        nodes: most nodes of a sample: cells are doubled along the axis with most of them until there are no more.
            Memory is nodes^2 a sample for distances; nodes^3 + nodes^2 channels for angles.
    """

    needs_equal_width: ClassVar[bool] = False

    relation: Relation = "distance"
    nodes: Annotated[int, Field(ge=2, le=256)] = 64

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel_t *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher, any_width=True)
        sides = cell(student.shape[2:], self.nodes)
        own, weight = nodes(student, where, sides, "average")
        other, _ = nodes(teacher, where, sides, "average")
        return relational(own, other, weight, self.relation).mean()


def relational(
    student: Float[Tensor, "set point channel"],
    teacher: Float[Tensor, "set point channel_t"],
    weight: Float[Tensor, "set point"],
    relation: Relation,
) -> Float[Tensor, "set"]:  # noqa: UP037 (no Python expression)
    """The Huber loss between the relations of each set of weighted points; 0 for a set without weight."""
    if relation == "distance":
        difference = F.smooth_l1_loss(
            distances(student, weight), distances(teacher, weight), reduction="none"
        )
        return quotient(torch.einsum("bij,bi,bj->b", difference, weight, weight), weight.sum(1) ** 2)
    difference = F.smooth_l1_loss(angles(student), angles(teacher), reduction="none")
    return quotient(torch.einsum("bijk,bi,bj,bk->b", difference, weight, weight, weight), weight.sum(1) ** 3)


def distances(
    points: Float[Tensor, "set point channel"], weight: Float[Tensor, "set point"]
) -> Float[Tensor, "set point point"]:
    """Euclidean distances, divided by their weighted mean over different points of the set."""
    points, rounding = _scaled(points)
    lengths = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    pairs = weight[:, :, None] * weight[:, None]
    pairs = pairs - torch.diag_embed(pairs.diagonal(dim1=1, dim2=2))
    mean = quotient((lengths * pairs).sum((1, 2)), pairs.sum((1, 2)))[:, None, None]
    return lengths / torch.where(mean > rounding, mean, 1.0)


def angles(points: Float[Tensor, "set point channel"]) -> Float[Tensor, "set point point point"]:
    """cos(x_j - x_i, x_k - x_i) at [i, j, k]; 0 where x_j or x_k is x_i."""
    points, rounding = _scaled(points)
    sides = points[:, None] - points[:, :, None]
    lengths = torch.linalg.vector_norm(sides, dim=3, keepdim=True)
    sides = sides / torch.where(lengths > rounding, lengths, 1.0)
    return sides @ sides.mT


def _scaled(points: Tensor) -> tuple[Tensor, float]:
    """Points of largest value 1 in each set, as the scale is divided out, and what is rounding then."""
    peak = points.detach().abs().amax((1, 2), keepdim=True)
    return points / torch.where(peak > 0, peak, 1.0), 10 * torch.finfo(points.dtype).eps
