"""The signed distance of voxels to the nearest boundary of a label."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from segdistill.losses.boundary.planes import labelled, touching


@torch.no_grad()
def signed_distance(
    planes: Float[Tensor, "batch class *space"], regions: bool = False
) -> Float[Tensor, "batch 1 *space"]:
    """Euclidean distance in voxels to the nearest voxel that touches a boundary, negative in the foreground.

    A level set of the union of all boundaries, after Kervadec et al., 2019, arXiv:1812.07032, who take one a class.
    0 on both sides of a boundary; of infinite size where the voxel has no label or the sample no boundary. Voxels
    count as cubes, whatever their spacing. Foreground is every class but plane 0; with `regions`, every region.
    Computed on the CPU, O(N).
    """
    precision = torch.promote_types(planes.dtype, torch.float32)
    touch = touching(planes, regions)
    away = np.stack([distance_transform_edt(sample) for sample in ~touch[:, 0].cpu().numpy()])
    distance = torch.from_numpy(away).to(precision).to(planes.device)[:, None]
    reached = touch.flatten(1).any(1).view(-1, *(1,) * (planes.ndim - 1)) & labelled(planes, regions)
    distance = distance.masked_fill(~reached, torch.inf)
    foreground = (planes if regions else planes[:, 1:]).any(1, keepdim=True)
    return torch.where(foreground, -distance, distance)


def nearness(
    planes: Float[Tensor, "batch class *space"], sigma: float, regions: bool = False
) -> Float[Tensor, "batch 1 *space"]:
    """exp(-|d| / sigma) of the signed distance d: 1 along a boundary, 0 where there is none."""
    return (-signed_distance(planes, regions).abs() / sigma).exp()
