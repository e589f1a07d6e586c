"""Runs that hardly find a class which most others find: their model's mean over seeds is of two kinds of runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from segdistill.report.evidence import Evidence, Model
from segdistill.report.run_folder import RunRecord
from segdistill.report.scores import mean

MISSED = 0.5  # of the median Dice of all runs in the class


@dataclass(frozen=True)
class Missed:
    """A class, the median Dice of all runs in it, and each run far below that, with its model and its Dice."""

    name: str
    usual: float
    runs: tuple[tuple[Model, RunRecord, float], ...]


def missed(evidence: Evidence) -> Iterator[Missed]:
    """The classes that some runs hardly find."""
    for name in evidence.classes:
        found = [
            (model, run, mean([run.scores.of(case, "dice", name) for case in evidence.cases_of(model)]))
            for model in evidence.models
            for run in model.evaluated
            if run.scores
        ]
        known = [dice for *_, dice in found if dice == dice]
        usual = median(known) if known else 0.0
        far_below = tuple(one for one in found if one[2] < MISSED * usual)
        if far_below:
            yield Missed(name, usual, far_below)
