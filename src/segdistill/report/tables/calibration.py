"""How far the models' probabilities can be believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from segdistill.evaluation.calibration import BINS, MARGIN_MM, Bins, CaseBins
from segdistill.report.evidence import Evidence, Model
from segdistill.report.leaks import MARK, note
from segdistill.report.scores import mean, spread
from segdistill.report.tables.cells import model_name
from segdistill.report.tables.table import ROLES, Cell, Column, Group, Row, Table
from segdistill.report.words import count, fixed

Figure = Callable[[CaseBins], float | None]

FIGURES: dict[str, tuple[str, Figure, float, int]] = {
    "ece": ("ECE", lambda one: one.near.ece, 100, 1),
    "brier": ("Brier", lambda one: one.near.brier, 1, 3),
    "ece_image": ("ECE, image", lambda one: one.image.ece, 100, 2),
    "brier_image": ("Brier, image", lambda one: one.image.brier, 1, 3),
}
"""Near the structures, and over whole images: a column's title, the figure of a case, its factor, its digits."""


def calibrated(model: Model) -> bool:
    """Whether any run of the model tells how sure it was."""
    return any(run.calibration for run in model.evaluated)


def by_round(model: Model, cases: Sequence[str], figure: Figure) -> list[float]:
    """Of each round (a seed, with all of its folds) that tells, the mean of a figure over those of the cases."""
    told = [[run.calibration for run in runs if run.calibration] for runs in model.rounds]
    return [
        mean([figure(run[case]) for run in runs for case in cases if case in run]) for runs in told if runs
    ]


def reliability(model: Model, cases: Sequence[str]) -> Bins:
    """The voxels near the structures by confidence, of all cases and seeds together."""
    total = Bins.empty()
    for run in model.evaluated:
        for case in cases:
            if case in run.calibration:
                total += run.calibration[case].near
    return total


def tabulate(evidence: Evidence) -> Table | None:
    """Calibration error and Brier score, means over cases; None where no run tells."""
    shown = [m for m in evidence.models if calibrated(m)]
    if not shown:
        return None
    head = evidence.headline.student if evidence.headline else None
    groups = []
    for role, title in ROLES.items():
        rows = tuple(Row(_cells(m, evidence), m is head) for m in shown if m.role == role)
        if rows:
            groups.append(Group(title, rows))
    cases = {len(evidence.cases_of(m)) for m in shown}
    over = count(cases.pop(), evidence.noun) if len(cases) == 1 else f"each model\u2019s own {evidence.noun}s"
    return Table(
        (Column("Model", numeric=False), *(Column(title, best="\u2193") for title, *_ in FIGURES.values())),
        tuple(groups),
        (
            f"Means over {over}; \u00b1 is the standard deviation over {evidence.over}. ECE: expected calibration "
            f"error of the likeliest class, {BINS} equal bins, percent; Brier: 0 to 2. Both over voxels within "
            f"{MARGIN_MM:g} mm of prediction or reference; \u201cimage\u201d: over all voxels, most of which are "
            "background.",
            *note(evidence.tainted(m) for m in shown),
        ),
    )


def _cells(m: Model, evidence: Evidence) -> tuple[Cell, ...]:
    names, mark = evidence.cases_of(m), MARK * evidence.tainted(m)
    cells = [model_name(m, evidence)]
    for _, figure, scale, digits in FIGURES.values():
        seeds = by_round(m, names, figure)
        value, over = mean(seeds), spread(seeds)
        extra = f"\u00b1 {fixed(scale * over, digits)}" if over is not None else ""
        known = value == value
        cells.append(
            Cell(fixed(scale * value, digits) + mark * known, extra, scale * value if known else None)
        )
    return tuple(cells)
