"""The labelled class of each voxel (the target) and the other classes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from segdistill.losses.reduction import at_least_float32


def check_label(logits: Tensor, label: Tensor) -> None:
    """Refuse label planes that are not of the logits.

    Raises:
        ValueError: the shapes differ.
    """
    if label.shape != logits.shape:
        raise ValueError(
            f"label {tuple(label.shape)} has one plane a class, at the size of the logits {tuple(logits.shape)}; "
            "a single layer of class numbers is turned into planes first"
        )


def labelled(
    target: Bool[Tensor, "batch class *space"], where: Float[Tensor, "batch 1 *space"] | None
) -> Float[Tensor, "batch 1 *space"]:
    """`where`, with 0 at the voxels that have no target."""
    known = target.any(1, keepdim=True)
    return known.float() if where is None else known * where


def target_or_other(
    log_probability: Float[Tensor, "batch class *space"], target: Bool[Tensor, "batch class *space"]
) -> tuple[Float[Tensor, batch * space], Float[Tensor, batch * space]]:
    """log p_target and log(1 - p_target), the second without the subtraction that loses all digits near 1."""
    of_target = (log_probability * target).sum(1)
    of_others = log_probability.masked_fill(target, -torch.inf).logsumexp(1)
    return of_target, of_others


def among_others(
    logits: Float[Tensor, "batch class *space"],
    target: Bool[Tensor, "batch class *space"],
    temperature: float,
) -> Float[Tensor, "batch class *space"]:
    """log of the probabilities that the other classes have among themselves; -inf at the target."""
    return F.log_softmax(at_least_float32(logits).masked_fill(target, -torch.inf) / temperature, dim=1)
