"""The band of voxels along the boundaries of a label."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from segdistill.losses.boundary.planes import labelled, touching


def band(
    planes: Float[Tensor, "batch class *space"], radius: int, regions: bool = False
) -> Bool[Tensor, "batch 1 *space"]:
    """The voxels from which another label is `radius` steps or fewer away; a step goes through a face.

    Radius 1 is the voxels that touch a boundary, on both of its sides; each further step dilates them by the cross of
    face neighbours. Voxels without a label stay outside. Holds O(N K).
    """
    inside = touching(planes, regions)
    for _ in range(radius - 1):
        inside = dilate(inside)
    return inside & labelled(planes, regions)


def dilate(mask: Bool[Tensor, "batch 1 *space"]) -> Bool[Tensor, "batch 1 *space"]:
    """`mask` and its face neighbours."""
    grown = mask.clone()
    for axis in range(2, mask.ndim):
        pairs = mask.shape[axis] - 1
        grown.narrow(axis, 0, pairs).logical_or_(mask.narrow(axis, 1, pairs))
        grown.narrow(axis, 1, pairs).logical_or_(mask.narrow(axis, 0, pairs))
    return grown
