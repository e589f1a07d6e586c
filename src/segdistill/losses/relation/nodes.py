"""Maps as few nodes: the cells of a coarse grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from segdistill.losses.reduction import at_least_float32
from segdistill.losses.voxels import quotient

Pooling = Literal["max", "average"]


def cell(space: Sequence[int], most: int, scale: float = 0.0) -> tuple[int, ...]:
    """Sides of a cell such that `space` has at most `most` cells (those at the end may be cut).

    Args:
        most: the axis with most cells, the first of equals, is halved until there are no more than these.
        scale: a cell starts with this share of each side, a voxel at least.
    """
    sides = [max(1, int(side * scale)) for side in space]
    counts = [math.ceil(side / of_cell) for side, of_cell in zip(space, sides, strict=True)]
    while math.prod(counts) > most:
        axis = counts.index(max(counts))
        sides[axis] *= 2
        counts[axis] = math.ceil(space[axis] / sides[axis])
    return tuple(sides)


def nodes(
    feature: Float[Tensor, "batch channel *space"],
    where: Float[Tensor, "batch 1 *space"] | None,
    sides: Sequence[int],
    pooling: Pooling,
) -> tuple[Float[Tensor, "batch node channel"], Float[Tensor, "batch node"]]:
    """The cells of `feature`, pooled over the voxels that count, in float32 at least.

    Returns:
        The vectors, and the weight of each node: the mean of `where` over its cell. A node without any voxel that
        counts is 0, of weight 0.
    """
    feature = at_least_float32(feature)
    counts = feature.new_ones(1, 1, *feature.shape[2:])
    weight = counts.expand(len(feature), *counts.shape[1:]) if where is None else where.to(feature.dtype)
    within = tuple(range(3, 3 + 2 * len(sides), 2))  # the axes inside a cell
    total = _split(weight, sides, 0.0).sum(within)
    if pooling == "average":
        pooled = quotient(_split(feature * weight, sides, 0.0).sum(within), total)
    else:
        least = torch.where(weight > 0, feature, -math.inf)
        pooled = torch.where(total > 0, _split(least, sides, -math.inf).amax(within), 0.0)
    share = total / _split(counts, sides, 0.0).sum(within)
    return pooled.flatten(2).mT, share[:, 0].flatten(1)


def _split(feature: Tensor, sides: Sequence[int], fill: float) -> Tensor:
    """(batch, channel, *space) -> (batch, channel, cell, inside, cell, inside, ...); cut cells are filled up."""
    missing = [-size % side for size, side in zip(feature.shape[2:], sides, strict=True)]
    if any(missing):
        feature = F.pad(feature, [amount for end in reversed(missing) for amount in (0, end)], value=fill)
    for axis, side in enumerate(sides):
        feature = feature.unflatten(2 + 2 * axis, (-1, side))
    return feature
