"""Overlap of the student's and the teacher's probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from segdistill.losses.reduction import check_pair
from segdistill.losses.response.probabilities import log_probabilities


@dataclass(frozen=True)
class SoftDice:
    """1 - 2 sum_n p q / sum_n (p^2 + q^2) of each class, averaged over classes and batch (MDViT, Du et al., 2023).

    The squares in the denominator make it a distance: 0 exactly where student p and teacher q agree (V-Net's form,
    Milletari et al., 2016; the first power of MDViT's code is not 0 there). A class that neither side sees anywhere is
    still compared by its small probabilities. Lies in [0, 1].

    Raises:
        ValueError: fewer than two channels.
    """

    over_classes: ClassVar[bool] = True

    def __call__(
        self,
        student: Float[Tensor, "batch class *space"],
        teacher: Float[Tensor, "batch class *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher, least_channels=2)
        p, q = (log_probabilities(logits, 1.0).exp().flatten(2) for logits in (student, teacher))
        weight = 1.0 if where is None else where.flatten(2)
        apart = ((p - q).square() * weight).sum(2)
        size = ((p.square() + q.square()) * weight).sum(2)
        return (apart / size.clamp_min(1e-12)).mean()
