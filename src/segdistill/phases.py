"""Phases: a training whose terms and learners change on the way, as a schedule of the epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """One stretch of a training.

    Attributes:
        name: for the log.
        first, last: it holds in the epochs first <= epoch < last.
        terms: names of the terms that act; None: all.
        segmentation: factor of the supervised loss.
        student: the student learns; else projectors alone do, what they learn by themselves (autoencoders).
        reconstruction: projectors learn what they learn by themselves; else they stay as the phase before left them.
    """

    name: str
    first: int
    last: int
    terms: tuple[str, ...] | None = None
    segmentation: float = 1.0
    student: bool = True
    reconstruction: bool = True

    def done(self, epoch: float) -> float:
        """The share of this phase that is over: the learning rate's schedule runs anew in every phase."""
        return (epoch - self.first) / (self.last - self.first)


def phase_at(phases: Sequence[Phase], epoch: float) -> Phase | None:
    """The phase that holds; the last one after the end; None where there are no phases."""
    return next((phase for phase in phases if epoch < phase.last), phases[-1] if phases else None)


def spread(shares: Sequence[float], epochs: int) -> list[tuple[int, int]]:
    """Bounds of phases that share `epochs` in these proportions, at least one epoch each.

    Raises:
        ValueError: fewer epochs than phases.
    """
    if epochs < len(shares):
        raise ValueError(f"{len(shares)} phases need as many epochs at least, train.epochs is {epochs}")
    total, bounds, start, passed = sum(shares), [], 0, 0.0
    for number, share in enumerate(shares):
        passed += share
        left = len(shares) - number - 1
        stop = max(start + 1, min(round(epochs * passed / total), epochs - left))
        bounds.append((start, stop if left else epochs))
        start = stop
    return bounds
