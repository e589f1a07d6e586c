"""Pair-wise affinity of the places of a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.reduction import check_pair
from segdistill.losses.relation.nodes import Pooling, cell, nodes
from segdistill.losses.unit import unit
from segdistill.losses.voxels import quotient


@dataclass(frozen=True)
class Affinity:
    """Mean over pairs of nodes (i, j) and batch of (A_ij(student) - A_ij(teacher))^2 (Liu et al., 2019).

    A_ij is the cosine of the features of two nodes, i = j included: the pair-wise term of structured knowledge
    distillation, in the units of its code (weight 1), and the affinity of knowledge adaptation (He et al., 2019).
    Nodes are pooled cells of the map. The number of channels does not matter. The value lies in [0, 4].

    Voxels that do not count are outside the pooling; a node counts by the mean weight of its cell, and one without
    any voxel is left out. Not patch-invariant: a cell is a share of the patch, so it holds more in a larger one.

    Args:
        scale: side of a cell as a share of the map's side, rounded down to voxels. 0.5, of the published code, makes
            two nodes an axis (three where a side is odd).
        nodes: most nodes; cells are doubled along the axis with most of them until there are no more. Memory is
            nodes^2 a sample: 64 MB for 4096, where all voxels of 48^3 would be 49 GB.
        pooling: what of a cell is taken, of each channel: its largest value or its average.
    """

    needs_equal_width: ClassVar[bool] = False

    scale: Annotated[float, Field(gt=0, le=1)] = 0.5
    nodes: Annotated[int, Field(ge=2, le=16384)] = 4096
    pooling: Pooling = "max"

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel_t *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher, any_width=True)
        sides = cell(student.shape[2:], self.nodes, self.scale)
        own, weight = nodes(student, where, sides, self.pooling)
        other, _ = nodes(teacher, where, sides, self.pooling)
        own, other = unit(own, 2), unit(other, 2)
        difference = torch.baddbmm(other @ other.mT, own, own.mT, beta=-1)  # one matrix less than A - B
        squares = torch.einsum("bij,bi,bj->b", difference.square(), weight, weight)
        return quotient(squares, weight.sum(1).square()).mean()
