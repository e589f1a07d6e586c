"""The one reduction rule, in one place.

Maps are (batch, class-or-channel, *space), 2-D and 3-D alike. Dense terms give one number a voxel (summed
over classes) and are averaged over the voxels of a sample, then over the batch. Why per sample: a batch split
over several devices, or repeated, then has the same loss.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def voxel_mean(
    values: Float[Tensor, "batch *space"],  # noqa: UP037 (no Python expression)
    where: Float[Tensor, "batch 1 *space"] | None,
) -> Tensor:
    """Average over the voxels of each sample, weighted by `where` in [0, 1], then over the batch.

    A sample that has no voxel with weight counts as 0.
    """
    if where is None:
        return values.mean()
    weight = where[:, 0].flatten(1)
    return ((values.flatten(1) * weight).sum(1) / weight.sum(1).clamp_min(1e-6)).mean()


def at_least_float32(tensor: Tensor) -> Tensor:
    """`tensor` in float32, in float64 where it is: sums and squares would leave the range of half precision."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def masked(
    feature: Float[Tensor, "batch channel *space"], where: Float[Tensor, "batch 1 *space"] | None
) -> Tensor:
    """`feature` with the voxels that do not count set to 0."""
    return feature if where is None else feature * where


def check_pair(student: Tensor, teacher: Tensor, *, least_channels: int = 1, any_width: bool = False) -> None:
    """Refuse a pair of maps that cannot be compared.

    Args:
        student, teacher: (batch, channel, *space).
        least_channels: fewer are refused.
        any_width: the numbers of channels may differ.

    Raises:
        ValueError: shapes differ, no spatial axis, or fewer than `least_channels` channels.
    """
    own, other = tuple(student.shape), tuple(teacher.shape)
    if len(own) < 3 or len(other) < 3:
        raise ValueError(f"maps are (batch, channel, *space), got student {own} and teacher {other}")
    if (own[0], *own[2:]) != (other[0], *other[2:]) or (own[1] != other[1] and not any_width):
        raise ValueError(
            f"student {own} and teacher {other} differ in shape; "
            "a projector brings widths together, resizing brings sizes together"
        )
    if own[1] < least_channels:
        raise ValueError(
            f"{least_channels} channels at least, got {own[1]}: "
            "turn a sigmoid head z into the two channels [0, z]"
        )
