"""Calibration and lesion detection of a model as the exports give them: by seed, then mean and spread."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from segdistill.evaluation.lesions import Detection, detection
from segdistill.report.evidence import Evidence, Model
from segdistill.report.exports.figure import Figure, defined
from segdistill.report.scores import mean, spread
from segdistill.report.tables.calibration import FIGURES, by_round, calibrated
from segdistill.report.tables.lesions import rounds, sizes

LESIONS: dict[str, Callable[[Detection, int], float | None]] = {
    "recall": lambda one, _: one.recall,
    "precision": lambda one, _: one.precision,
    "f1": lambda one, _: one.f1,
    "dice": lambda one, _: one.dice,
    "false_positives_per_case": lambda one, cases: one.false_positives / cases if cases else None,
}
"""Over the lesions of all cases and classes together."""


def calibration(model: Model, evidence: Evidence) -> dict[str, Figure]:
    """ECE and Brier score; empty where no run tells them."""
    if not calibrated(model):
        return {}
    cases = evidence.cases_of(model)
    return {
        name: _figure(by_round(model, cases, value), len(cases)) for name, (_, value, *_) in FIGURES.items()
    }


def lesions(model: Model, evidence: Evidence) -> list[tuple[float, float, int, dict[str, Figure]]]:
    """Detection of lesions larger than a size and up to another (mm3, or mm2), and how many there are: first of all of
    them, then of each third of the reference lesions, where they part into thirds. Empty where no run tells.
    """
    cases, edges = evidence.cases_of(model), sizes(evidence)
    every = rounds(model, cases)
    ranges = [(0.0, float("inf")), *(itertools.pairwise(edges) if len(edges) > 2 else ())]
    found = []
    for low, high in ranges if every else ():
        seeds = [detection(rows, low, high) for _, rows in every]
        figures = {
            name: _figure([value(one, n) for one, (n, _) in zip(seeds, every, strict=True)], seeds[0].lesions)
            for name, value in LESIONS.items()
        }
        found.append((low, high, seeds[0].lesions, figures))
    return found


def _figure(seeds: Sequence[float | None], n: int) -> Figure:
    return Figure(defined(mean(seeds)), defined(spread(seeds)), tuple(map(defined, seeds)), n)
