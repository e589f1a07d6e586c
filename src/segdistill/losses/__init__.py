"""Losses: pure functions of tensors. To add one: one file in `losses/<kind>/` and one row here.

The four kinds are the taxonomy of the review (Burhan and Purwono, 2024). All follow one reduction rule: see
`losses/reduction.py`. A row declares what holds of its loss; one contract test over the table checks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from segdistill.losses.feature.attention_similarity import AttentionSimilarity
from segdistill.losses.feature.attention_transfer import AttentionTransfer
from segdistill.losses.feature.mse import MSE
from segdistill.losses.response.kl import KL
from segdistill.losses.segmentation import DiceCE, DiceFocal


@dataclass(frozen=True)
class Row:
    """A distillation loss and what holds of it; a flag that is off gives its reason in the loss's docstring.

    Attributes:
        part: the class; an instance is called as `loss(student, teacher, where=None)`.
        zero_at_equal: 0 where student and teacher say the same.
        batch_invariant: repeating the samples of a batch changes nothing.
        patch_invariant: tiling the space changes nothing, so a weight means the same at every patch size.
        differentiable_at_equal: the gradient at student = teacher is 0, not undefined.
    """

    part: type
    kind: Literal["response", "feature", "relation", "boundary"]
    reference: str
    summary: str
    zero_at_equal: bool = True
    batch_invariant: bool = True
    patch_invariant: bool = True
    differentiable_at_equal: bool = True


@dataclass(frozen=True)
class SegmentationRow:
    """A supervised segmentation loss; an instance is called as `loss(logits, label)`."""

    part: type
    reference: str
    summary: str


LOSSES: dict[str, Row] = {
    "kl": Row(
        KL,
        "response",
        "Hinton et al., 2015, arXiv:1503.02531",
        "Voxel-wise KL divergence of class probabilities",
    ),
    "attention_similarity": Row(
        AttentionSimilarity,
        "feature",
        "Hossain et al., 2025, Eq. 1",
        "Distance of normalised feature maps (Teach-Former's coarse and fine attention similarity)",
        patch_invariant=False,
        differentiable_at_equal=False,
    ),
    "attention_transfer": Row(
        AttentionTransfer,
        "feature",
        "Zagoruyko and Komodakis, 2017, arXiv:1612.03928",
        "Squared distance of unit-normalised spatial attention maps",
    ),
    "mse": Row(MSE, "feature", "Romero et al., 2015, arXiv:1412.6550", "Mean squared difference of maps"),
}

SEGMENTATION_LOSSES: dict[str, SegmentationRow] = {
    "dice_focal": SegmentationRow(
        DiceFocal, "Hossain et al., 2025, Eq. 3", "Dice + focal (Teach-Former, HLFD)"
    ),
    "dice_ce": SegmentationRow(
        DiceCE, "Isensee et al., 2021, doi:10.1038/s41592-020-01008-z", "Dice + cross-entropy (nnU-Net)"
    ),
}
