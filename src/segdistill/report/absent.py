"""Structures that a case does not have: who sees one all the same is charged for it, who sees none is right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from segdistill.report.run_folder import RunRecord
from segdistill.report.scores import Scores

RIGHT = {"dice": 1.0, "iou": 1.0, "nsd": 1.0, "hd95": 0.0}
"""What counts for an answer that rightly sees nothing."""

Absent = frozenset[tuple[str, str]]
"""Cases and classes."""


def disputed(runs: Iterable[RunRecord]) -> Absent:
    """Where some runs see a structure that is not there, and others rightly none.

    Of these others Dice is undefined. Were the case left out for that, nobody would be charged for seeing things: the
    mean of who is right would be over other cases, and no pair of the two would be compared.
    """
    nothing, something = set[tuple[str, str]](), set[tuple[str, str]]()
    for run in runs:
        for case, classes in (run.scores.values if run.scores else {}).items():
            for name, row in classes.items():
                value = row.get("dice", 0.0)
                (something if value == value else nothing).add((case, name))
    return frozenset(nothing & something)


def settled(runs: Sequence[RunRecord], where: Absent) -> list[RunRecord]:
    """The runs with a value for being right where others are not; baselines, too."""
    if not where:
        return list(runs)
    return [
        replace(
            run,
            scores=None if run.scores is None else _right(run.scores, where),
            baselines={name: _right(scores, where) for name, scores in run.baselines.items()},
        )
        for run in runs
    ]


def _right(scores: Scores, where: Absent) -> Scores:
    def row(case: str, name: str, values: dict[str, float]) -> dict[str, float]:
        dice = values.get("dice", 0.0)
        return values | RIGHT if (case, name) in where and dice != dice else values

    return Scores(
        {
            case: {name: row(case, name, dict(values)) for name, values in classes.items()}
            for case, classes in scores.values.items()
        }
    )
