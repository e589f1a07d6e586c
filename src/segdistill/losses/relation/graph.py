"""A graph of the regions of a map."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.reduction import check_pair
from segdistill.losses.relation.nodes import cell, nodes
from segdistill.losses.unit import unit
from segdistill.losses.voxels import quotient


@dataclass(frozen=True)
class Graph:
    """Mean over the edges of the teacher's graph of (cos_ij(student) - cos_ij(teacher))^2; batch mean.

    After the region graph distillation of MSKD (Zhao et al., 2023), whose code is not published: nodes are
    average-pooled cells, and an edge leads from each node to each of those that the teacher finds most similar. With
    `node_weight`, the mean over nodes and channels of (student - teacher)^2 is added; then widths must be equal.

    A node counts by the mean weight of its cell, an edge by the product of its ends; what has no voxel that counts
    is left out. Not patch-invariant: a larger patch has larger cells.

    Args:
        nodes: most nodes of a sample: cells are doubled along the axis with most of them until there are no more.
            Memory is nodes^2 a sample.
        neighbours: edges from each node; all others where there are fewer.
        node_weight: weight of the difference of the nodes themselves beside that of the edges.
    """

    nodes: Annotated[int, Field(ge=2, le=4096)] = 64
    neighbours: Annotated[int, Field(ge=1)] = 8
    node_weight: Annotated[float, Field(ge=0)] = 0.0

    @property
    def needs_equal_width(self) -> bool:
        """Edges compare at any two widths, nodes do not."""
        return self.node_weight > 0

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel_t *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher, any_width=not self.needs_equal_width)
        sides = cell(student.shape[2:], self.nodes)
        own, weight = nodes(student, where, sides, "average")
        other, _ = nodes(teacher, where, sides, "average")
        loss = self._edges(unit(own, 2), unit(other, 2), weight)
        if self.node_weight:
            squares = ((own - other).square().mean(2) * weight).sum(1)
            loss = loss + self.node_weight * quotient(squares, weight.sum(1))
        return loss.mean()

    def _edges(self, own: Tensor, other: Tensor, weight: Tensor) -> Tensor:
        """Of unit vectors (batch, node, channel): the mean over the edges, one number a sample."""
        expected = other @ other.mT
        count = expected.shape[1]
        barred = torch.eye(count, dtype=torch.bool, device=expected.device) | (weight == 0)[:, None]
        ranked = expected.detach().masked_fill(barred, -math.inf)
        near = ranked.topk(min(self.neighbours, count - 1), dim=2).indices
        edges = torch.zeros_like(expected).scatter_(2, near, 1.0).masked_fill(barred, 0.0)
        edges = edges * weight[:, :, None] * weight[:, None]
        difference = torch.baddbmm(expected, own, own.mT, beta=-1)
        return quotient((difference.square() * edges).sum((1, 2)), edges.sum((1, 2)))
