"""Label planes: which voxels have a label, and which lie on a boundary between two labels."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def check_planes(label: Tensor, maps: Tensor) -> None:
    """Refuse label planes that do not lie on the maps.

    Args:
        label: (batch, class, *space).
        maps: what is compared under the label, logits or probabilities.

    Raises:
        ValueError: the shapes differ.
    """
    if label.shape != maps.shape:
        raise ValueError(
            f"the label is one plane a class on the grid of the maps: {tuple(maps.shape)} fits, "
            f"got {tuple(label.shape)}"
        )


def labelled(
    planes: Float[Tensor, "batch class *space"], regions: bool = False
) -> Bool[Tensor, "batch 1 *space"]:
    """Where a voxel has a label: where any plane is set; with `regions`, where none is set is background too."""
    return torch.ones_like(planes[:, :1], dtype=torch.bool) if regions else planes.any(1, keepdim=True)


def touching(
    planes: Float[Tensor, "batch class *space"], regions: bool = False
) -> Bool[Tensor, "batch 1 *space"]:
    """The voxels of which a face lies on a boundary: the two sides of every boundary between two labels.

    The union over classes; with `regions`, the boundary of any region. Where a voxel has no label, and at the faces
    of the patch, there is no boundary.
    """
    known = labelled(planes, regions)
    touch = torch.zeros_like(known)
    for axis in range(2, planes.ndim):
        pairs = planes.shape[axis] - 1
        near, far = planes.narrow(axis, 0, pairs), planes.narrow(axis, 1, pairs)
        crossed = (near != far).any(1, keepdim=True)
        crossed &= known.narrow(axis, 0, pairs) & known.narrow(axis, 1, pairs)
        touch.narrow(axis, 0, pairs).logical_or_(crossed)
        touch.narrow(axis, 1, pairs).logical_or_(crossed)
    return touch
