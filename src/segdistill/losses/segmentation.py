"""Supervised segmentation losses, for exclusive classes (softmax) and overlapping regions (sigmoid).

Own, not MONAI's, because every term here leaves out ignored voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from segdistill.losses.reduction import voxel_mean

IGNORE = -1

Logits = Float[Tensor, "batch class *space"]
Label = Int[Tensor, "batch layer *space"]
NonNegative = Annotated[float, Field(ge=0)]


def one_hot(label: Label, classes: int, regions: bool) -> tuple[Float[Tensor, "batch class *space"], Tensor]:
    """The label, a plane for each class or region, and where it counts (batch, 1, *space), 0 if ignored."""
    counts = (label[:, :1] != IGNORE).float()
    known = label.clamp_min(0)
    if regions:
        return known.float() * counts, counts
    target = counts.new_zeros(len(known), classes, *known.shape[2:])
    return target.scatter_(1, known.long(), counts), counts


def dice_loss(logits: Logits, target: Tensor, counts: Tensor, regions: bool, smooth: float = 1e-5) -> Tensor:
    """1 - 2 sum(p t) / sum(p + t) of the foreground classes, per sample, averaged (Teach-Former, Eq. 3)."""
    p = (logits.sigmoid() if regions else logits.softmax(1)) * counts
    if not regions:
        p, target = p[:, 1:], target[:, 1:]
    overlap = (p * target).flatten(2).sum(2)
    size = (p + target).flatten(2).sum(2)
    return 1 - ((2 * overlap + smooth) / (size + smooth)).mean()


def focal_loss(logits: Logits, target: Tensor, counts: Tensor, regions: bool, gamma: float) -> Tensor:
    """-(1 - p)^gamma log p of the true class (of a region: the true side), averaged over voxels and batch."""
    if regions:
        true = target * F.logsigmoid(logits) + (1 - target) * F.logsigmoid(-logits)
    else:
        true = (F.log_softmax(logits, dim=1) * target).sum(1, keepdim=True)
    # Not 0: there the gradient of x^gamma with gamma < 1 is infinite, and inf * 0 is no number.
    miss = (1 - true.exp()).clamp_min(torch.finfo(true.dtype).tiny)
    return voxel_mean((-(miss**gamma) * true).mean(1), counts)


def _check(logits: Tensor, label: Tensor, regions: bool) -> None:
    if not regions and logits.shape[1] < 2:
        raise ValueError("two channels at least for exclusive classes (background and one class), got 1")
    if regions and logits.shape[1] != label.shape[1]:
        raise ValueError(f"{label.shape[1]} regions in the label, {logits.shape[1]} channels in the logits")
    if not regions and label.shape[1] != 1:
        raise ValueError(f"exclusive classes are one layer of indices, the label has {label.shape[1]} layers")
    if logits.shape[2:] != label.shape[2:]:
        raise ValueError(f"logits {tuple(logits.shape)} and label {tuple(label.shape)} differ in space")


@dataclass(frozen=True)
class DiceFocal:
    """dice * Dice loss + focal * focal loss (Teach-Former, Eq. 3; HLFD with 1/2 and 1/2).

    Dice: foreground classes, per sample, then averaged. Focal: without class weights, averaged over voxels.

    Args:
        dice: weight of the Dice part, >= 0.
        focal: weight of the focal part, >= 0.
        gamma: focusing exponent, >= 0; 0 is cross-entropy.
        regions: the label has overlapping regions (data-given).
    """

    dice: NonNegative = 1.0
    focal: NonNegative = 1.0
    gamma: NonNegative = 2.0
    regions: bool = False

    def __call__(self, logits: Logits, label: Label) -> Float[Tensor, ""]:
        _check(logits, label, self.regions)
        target, counts = one_hot(label, logits.shape[1], self.regions)
        dice = dice_loss(logits, target, counts, self.regions)
        return self.dice * dice + self.focal * focal_loss(logits, target, counts, self.regions, self.gamma)


@dataclass(frozen=True)
class DiceCE:
    """dice * Dice loss + ce * cross-entropy (nnU-Net, Isensee et al., 2021).

    Args:
        dice: weight of the Dice part, >= 0.
        ce: weight of the cross-entropy (for regions: binary, averaged over regions), >= 0.
        regions: the label has overlapping regions (data-given).
    """

    dice: NonNegative = 1.0
    ce: NonNegative = 1.0
    regions: bool = False

    def __call__(self, logits: Logits, label: Label) -> Float[Tensor, ""]:
        _check(logits, label, self.regions)
        target, counts = one_hot(label, logits.shape[1], self.regions)
        dice = dice_loss(logits, target, counts, self.regions)
        return self.dice * dice + self.ce * focal_loss(logits, target, counts, self.regions, gamma=0.0)
