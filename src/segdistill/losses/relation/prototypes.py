"""Class prototypes: the mean feature of each class."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segdistill.losses.reduction import check_pair
from segdistill.losses.voxels import quotient, voxels


def check_label(feature: Tensor, label: Tensor) -> None:
    """Refuse planes that do not lie on the grid of the map.

    Raises:
        ValueError: batch or space differ.
    """
    if label.ndim != feature.ndim or (len(label), *label.shape[2:]) != (len(feature), *feature.shape[2:]):
        raise ValueError(
            f"the label is (batch, class, *space) on the grid of the maps, "
            f"got label {tuple(label.shape)} for maps {tuple(feature.shape)}"
        )


def labelled_voxels(
    student: Float[Tensor, "batch channel *space"],
    teacher: Float[Tensor, "batch channel_t *space"],
    label: Float[Tensor, "batch class *space"],
    where: Float[Tensor, "batch 1 *space"] | None,
) -> tuple[
    Float[Tensor, "batch channel voxel"],
    Float[Tensor, "batch channel_t voxel"],
    Float[Tensor, "batch class voxel"],
    Float[Tensor, "batch voxel"],
]:
    """The voxels of two maps of any widths, the label's planes at them, and the weight of each voxel.

    Raises:
        ValueError: the maps do not compare, or the label is on another grid.
    """
    check_pair(student, teacher, any_width=True)
    check_label(student, label)
    own, weight = voxels(student, where)
    other, _ = voxels(teacher, where)
    return own, other, label.flatten(2).to(own.dtype), weight


def prototypes(
    values: Float[Tensor, "batch channel voxel"], weight: Float[Tensor, "batch class voxel"]
) -> tuple[Float[Tensor, "batch class channel"], Float[Tensor, "batch class"]]:
    """The mean of `values` over the voxels of each class, and 1 for a class that has any, 0 (of mean 0) else."""
    total = weight.sum(2)
    means = quotient(torch.einsum("bcn,bkn->bkc", values, weight), total[..., None])
    return means, (total > 0).to(values.dtype)


def pair_mean(
    values: Float[Tensor, "batch class class"], present: Float[Tensor, "batch class"]
) -> Float[Tensor, ""]:
    """Mean over the pairs of different present classes of a sample (0 without any pair), then over the batch.

    Args:
        values: symmetric.
        present: 1 or 0.
    """
    pairs = present[:, :, None] * present[:, None]
    pairs = pairs - torch.diag_embed(pairs.diagonal(dim1=1, dim2=2))
    return quotient((values * pairs).sum((1, 2)), pairs.sum((1, 2))).mean()
