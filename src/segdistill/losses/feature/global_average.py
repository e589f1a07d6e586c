"""Global average pooling of the voxels that count."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def global_average(
    feature: Float[Tensor, "batch channel *space"], where: Float[Tensor, "batch 1 *space"] | None
) -> Float[Tensor, "batch channel"]:
    """The mean over voxels, weighted by `where`, of each channel of each sample; 0 where no voxel counts."""
    flat = feature.flatten(2)
    if where is None:
        return flat.mean(2)
    weight = where.flatten(2)
    return (flat * weight).sum(2) / weight.sum(2).clamp_min(1e-6)
