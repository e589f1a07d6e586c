"""RSKD's ranking of tokens by importance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.feature.attention_transfer import attention
from segdistill.losses.reduction import at_least_float32, check_pair, masked

TIE = 1e-5  # nodes of the teacher are equally important where they differ by less, in root mean squares


@dataclass(frozen=True)
class ImportanceRanking:
    """Mean over pairs of log(1 + exp(-(a_i - a_j) / T)), the teacher holding i for more important than j; batch mean.

    The map is pooled to a grid of at most `tokens` nodes; a is mean_c |F|^2 of a node, divided by its root mean
    square over the nodes, so that its size depends neither on the features' scale nor on the number of nodes. Only
    pairs of the teacher's `top` most important nodes count: the student learns their order (the logistic ranking
    loss of Burges et al., 2005). Pairs that the teacher ranks equal are left out; without any pair the value is 0.
    Nodes without a voxel in `where` are left out; the others count by the share of their voxels in it.

    Inspired by the token importance ranking of RSKD (Liang et al., 2024), whose formulas are not open. Any two
    widths compare without a projector.

    Not zero at equal: the order is right but the loss goes on parting the nodes. Not differentiable at equal in
    the sense of the table: the gradient is defined there but is not 0, for the same reason. Not patch-invariant:
    the nodes' size follows from the patch's.

    Args:
        tokens: the most nodes of the grid; the longest axis is halved until they suffice.
        top: how many of the teacher's nodes are ranked, at least 2.
        temperature: T > 0, in root mean squares of importance; small values ask for the order alone.
    """

    needs_equal_width: ClassVar[bool] = False

    tokens: Annotated[int, Field(ge=2)] = 64
    top: Annotated[int, Field(ge=2)] = 16
    temperature: Annotated[float, Field(gt=0)] = 1.0

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel_t *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher, any_width=True)
        own, share = self._importance(at_least_float32(student), where)
        other, _ = self._importance(at_least_float32(teacher.detach()), where)
        top = other.masked_fill(share == 0, -1).topk(min(self.top, other.shape[1])).indices
        own, other, share = own.gather(1, top), other.gather(1, top), share.gather(1, top)
        ahead = _pairs(other) > TIE
        weight = ahead * share[:, :, None] * share[:, None]
        total = weight.sum((1, 2))
        missed = (weight * F.softplus(-_pairs(own) / self.temperature)).sum((1, 2))
        return (missed / torch.where(total > 0, total, 1.0)).mean()

    def _importance(self, feature: Tensor, where: Tensor | None) -> tuple[Tensor, Tensor]:
        """(batch, node): importance of unit root mean square, and the share of the node's voxels that count."""
        counted = None if where is None else (where > 0).to(where.dtype)
        energy = attention(masked(feature, counted), 2.0).reshape(len(feature), 1, *feature.shape[2:])
        weight = torch.ones_like(energy) if where is None else where.to(energy.dtype)
        grid = grid_within(feature.shape[2:], self.tokens)
        share = F.interpolate(weight, grid, mode="area").flatten(1)
        nodes = F.interpolate(energy * weight, grid, mode="area").flatten(1)
        nodes = nodes / torch.where(share > 0, share, 1.0)
        counts = share.sum(1, keepdim=True)
        square = (share * nodes.square()).sum(1, keepdim=True) / torch.where(counts > 0, counts, 1.0)
        return nodes / torch.where(square > 0, square, 1.0).sqrt(), share


def grid_within(space: Sequence[int], nodes: int) -> list[int]:
    """The size of a grid of at most `nodes` nodes: the longest axis of `space` is halved, rounded up, until it fits."""
    grid = list(space)
    while prod(grid) > nodes:
        longest = grid.index(max(grid))
        grid[longest] = (grid[longest] + 1) // 2
    return grid


def _pairs(importance: Tensor) -> Tensor:
    """(batch, node) -> (batch, node, node): a_i - a_j."""
    return importance[:, :, None] - importance[:, None]
