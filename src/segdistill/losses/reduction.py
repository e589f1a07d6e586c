"""The one reduction rule, in one place.

Maps are (batch, class-or-channel, *space), 2-D and 3-D alike. Dense terms give one number a voxel (summed over classes)
and are averaged over the voxels of a sample, then over the batch. Why per sample: a batch split over several
devices, or repeated, then has the same loss.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def voxel_mean(values: Float[Tensor, "batch *space"], where: Float[Tensor, "batch 1 *space"] | None) -> Tensor:
    """Average over the voxels of each sample, weighted by `where` in [0, 1], then over the batch.

    A sample that has no voxel with weight counts as 0.
    """
    if where is None:
        return values.mean()
    weight = where[:, 0].flatten(1)
    return ((values.flatten(1) * weight).sum(1) / weight.sum(1).clamp_min(1e-6)).mean()


def masked(feature: Float[Tensor, "batch channel *space"], where: Float[Tensor, "batch 1 *space"] | None) -> Tensor:
    """`feature` with the voxels that do not count set to 0."""
    return feature if where is None else feature * where


def check_pair(student: Tensor, teacher: Tensor, least_channels: int = 1) -> None:
    """Refuse a pair of maps that cannot be compared.

    Raises:
        ValueError: shapes differ, no spatial axis, or fewer than `least_channels` channels.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"student {tuple(student.shape)} and teacher {tuple(teacher.shape)} differ in shape; "
            "a projector brings widths together, resizing brings sizes together"
        )
    if student.ndim < 3:
        raise ValueError(f"maps are (batch, channel, *space), got {tuple(student.shape)}")
    if student.shape[1] < least_channels:
        raise ValueError(
            f"{least_channels} channels at least, got {student.shape[1]}: turn a sigmoid head z into the two channels [0, z]"
        )
