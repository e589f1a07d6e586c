"""Maps as lists of weighted voxels."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segdistill.losses.reduction import at_least_float32


def voxels(
    feature: Float[Tensor, "batch channel *space"], where: Float[Tensor, "batch 1 *space"] | None
) -> tuple[Float[Tensor, "batch channel voxel"], Float[Tensor, "batch voxel"]]:
    """The voxels of each sample, in float32 at least, and the weight of each: 1 where `where` is None."""
    values = at_least_float32(feature).flatten(2)
    if where is None:
        return values, torch.ones_like(values[:, 0])
    return values, where[:, 0].flatten(1).to(values.dtype)


def sample_means(
    feature: Float[Tensor, "batch channel *space"], where: Float[Tensor, "batch 1 *space"] | None
) -> tuple[Float[Tensor, "batch channel"], Float[Tensor, "batch"]]:  # noqa: UP037 (no Python expression)
    """The mean vector of each sample, and 1 for a sample that has a voxel that counts, 0 (of mean 0) else."""
    values, weight = voxels(feature, where)
    total = weight.sum(1)
    means = torch.einsum("bcn,bn->bc", values, weight) / torch.where(total > 0, total, 1.0)[:, None]
    return means, (total > 0).to(values.dtype)


def quotient(part: Tensor, whole: Tensor) -> Tensor:
    """`part` / `whole`, and 0 / 1 where nothing is there to be averaged."""
    return part / torch.where(whole > 0, whole, 1.0)
