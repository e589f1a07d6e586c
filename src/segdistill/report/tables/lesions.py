"""Lesion by lesion: what the models found, and what they saw that is not there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import lru_cache

from segdistill.evaluation.lesions import LEAST_IOU, Detection, LesionRow, detection, terciles
from segdistill.report.evidence import Evidence, Model
from segdistill.report.leaks import MARK, note
from segdistill.report.scores import mean, spread
from segdistill.report.tables.cells import model_name
from segdistill.report.tables.table import ROLES, Cell, Column, Group, Row, Table
from segdistill.report.words import fixed

PARTS = {1: ("all",), 2: ("small", "large"), 3: ("small", "middle", "large")}


def told(model: Model) -> bool:
    """Whether any run of the model was looked at lesion by lesion."""
    return any(run.lesions for run in model.evaluated)


def rounds(model: Model, cases: Sequence[str]) -> list[tuple[int, list[LesionRow]]]:
    """Of each round (a seed, with all of its folds) how many of the cases it was looked at in, and their lesions."""
    found = []
    for runs in model.rounds:
        rows = {case: run.lesions[case] for run in runs for case in cases if case in run.lesions}
        if any(run.lesions for run in runs):
            looked_at = {case for run in runs if run.scores for case in run.scores.cases}.intersection(cases)
            found.append((len(looked_at), [row for each in rows.values() for row in each]))
    return found


@lru_cache(maxsize=2)
def sizes(evidence: Evidence) -> tuple[float, ...]:
    """Edges, in mm3 or mm2, that part the reference lesions of all models' cases into thirds (`terciles`)."""
    every: dict[str, Sequence[LesionRow]] = {}
    for model in evidence.models:
        for run in model.evaluated:
            every |= {case: run.lesions[case] for case in evidence.cases_of(model) if case in run.lesions}
    return terciles(row for rows in every.values() for row in rows)


def over_seeds(
    model: Model, cases: Sequence[str], value: Callable[[Detection], float | None], low: float, high: float
) -> list[float | None]:
    """A figure of each round, over lesions larger than `low` and at most `high`."""
    return [value(detection(rows, low, high)) for _, rows in rounds(model, cases)]


def tabulate(evidence: Evidence) -> Table | None:
    """Recall, false alarms and F1, also by size; None where no run tells, or no case has a lesion."""
    shown = [m for m in evidence.models if told(m)]
    edges = sizes(evidence)
    everything = [detection(rows) for m in shown for _, rows in rounds(m, evidence.cases_of(m))]
    if not any(one.lesions for one in everything):
        return None
    parts = PARTS[len(edges) - 1]
    columns = [
        Column("Model", numeric=False),
        Column("Lesions"),
        Column("Recall", best="\u2191"),
        Column("False alarms per case", best="\u2193"),
        Column("Lesion Dice", best="\u2191"),
        Column("F1", best="\u2191"),
    ]
    columns += [Column(f"F1, {part}", best="\u2191") for part in parts if len(parts) > 1]
    head = evidence.headline.student if evidence.headline else None
    groups = []
    for role, title in ROLES.items():
        rows = tuple(Row(_cells(m, evidence, edges), m is head) for m in shown if m.role == role)
        if rows:
            groups.append(Group(title, rows))
    return Table(
        tuple(columns),
        tuple(groups),
        (
            "In percent but for counts, over the lesions of all cases and classes together; \u00b1 is the standard "
            f"deviation over {evidence.over}. A lesion is a connected part of the reference (full connectivity), found "
            f"where one of the prediction has an IoU above {LEAST_IOU:g} with it. Lesion Dice: 0 where it was missed.",
            *_about_sizes(edges),
            *note(evidence.tainted(m) for m in shown),
        ),
    )


def names_of_sizes(edges: Sequence[float]) -> list[str]:
    """ "small (up to 40)", "middle (40 to 210)", "large (above 210)": in mm3 or mm2."""
    parts = PARTS[len(edges) - 1]
    ends = []
    for low, high in itertools.pairwise(edges):
        if low == 0:
            ends.append(f"up to {_short(high)}" if high != float("inf") else "any size")
        else:
            ends.append(
                f"above {_short(low)}" if high == float("inf") else f"{_short(low)} to {_short(high)}"
            )
    return [f"{part} ({end})" for part, end in zip(parts, ends, strict=True)]


def _about_sizes(edges: Sequence[float]) -> tuple[str, ...]:
    if len(edges) < 3:
        return ()
    names = ", ".join(names_of_sizes(edges))
    return (
        f"Sizes part the reference lesions into thirds: {names} mm\u00b3 (2-D: mm\u00b2). False alarms count by their "
        "own size.",
    )


def _short(volume: float) -> str:
    return f"{volume:,.0f}" if volume >= 10 else f"{volume:.2g}"


def _cells(m: Model, evidence: Evidence, edges: Sequence[float]) -> tuple[Cell, ...]:
    names, mark = evidence.cases_of(m), MARK * evidence.tainted(m)
    every = rounds(m, names)
    whole = [detection(rows) for _, rows in every]

    def cell(values: Sequence[float | None], scale: float = 100) -> Cell:
        value, over = mean(values), spread(values)
        known = value == value
        extra = f"\u00b1 {fixed(scale * over)}" if over is not None else ""
        return Cell(fixed(scale * value) + mark * known, extra, scale * value if known else None)

    lesions = whole[0].lesions
    cells = [
        model_name(m, evidence),
        Cell(str(lesions), key=lesions),
        cell([one.recall for one in whole]),
        cell([one.false_positives / max(cases, 1) for one, (cases, _) in zip(whole, every, strict=True)], 1),
        cell([one.dice for one in whole]),
        cell([one.f1 for one in whole]),
    ]
    if len(edges) > 2:
        cells += [
            cell(over_seeds(m, names, lambda one: one.f1, low, high))
            for low, high in itertools.pairwise(edges)
        ]
    return tuple(cells)
