"""Losses: pure functions of tensors. To add one: one file in `losses/<kind>/` and one row in that folder's table.

The four kinds are the taxonomy of the review (Burhan and Purwono, 2024). All follow one reduction rule: see
`losses/reduction.py`. A row declares what holds of its loss; one contract test over the table checks it.
"""

from __future__ import annotations

from dataclasses import dataclass

from segdistill.losses.boundary import BOUNDARY
from segdistill.losses.feature import FEATURE
from segdistill.losses.feature.attention_similarity import AttentionSimilarity
from segdistill.losses.feature.attention_transfer import AttentionTransfer
from segdistill.losses.feature.mse import MSE
from segdistill.losses.relation import RELATION
from segdistill.losses.response import RESPONSE
from segdistill.losses.response.kl import KL
from segdistill.losses.row import Row
from segdistill.losses.segmentation import DiceCE, DiceFocal

__all__ = [
    "KL",
    "LOSSES",
    "MSE",
    "SEGMENTATION_LOSSES",
    "AttentionSimilarity",
    "AttentionTransfer",
    "DiceCE",
    "DiceFocal",
    "Row",
]


@dataclass(frozen=True)
class SegmentationRow:
    """A supervised segmentation loss; an instance is called as `loss(logits, label)`."""

    part: type
    reference: str
    summary: str


LOSSES: dict[str, Row] = {**RESPONSE, **FEATURE, **RELATION, **BOUNDARY}

SEGMENTATION_LOSSES: dict[str, SegmentationRow] = {
    "dice_focal": SegmentationRow(
        DiceFocal, "Hossain et al., 2025, Eq. 3", "Dice + focal (Teach-Former, HLFD)"
    ),
    "dice_ce": SegmentationRow(
        DiceCE, "Isensee et al., 2021, doi:10.1038/s41592-020-01008-z", "Dice + cross-entropy (nnU-Net)"
    ),
}
