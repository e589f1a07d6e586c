"""Tables for a spreadsheet or a script: models.csv, a row a model; cases.csv, a row a run, case and class.

Names come from files. One that a spreadsheet would take for a formula has an apostrophe before it (see `_harmless`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from segdistill.report.evidence import Evidence, Model
from segdistill.report.exports.beyond_overlap import LESIONS, calibration, lesions
from segdistill.report.exports.figure import COUNTS, defined, figure, fold, metrics
from segdistill.report.scores import Scores, mean
from segdistill.report.tables.calibration import FIGURES

Cell = str | int | float | None
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # how text begins that a spreadsheet runs


def models(evidence: Evidence) -> str:
    """models.csv: role, name, seeds, cases, mean and spread of every metric, and what the model costs.

    Shares (Dice, IoU, NSD, ECE, lesions found) are between 0 and 1, distances in mm, times in ms. What is undefined or
    was not told is empty.
    """
    names = metrics(evidence)
    header = ["role", "name", "network", "method", "seeds", "cases", "evidence"]
    beyond = [*FIGURES, *(f"lesion_{name}" for name in LESIONS)]
    header += [f"{metric}_{part}" for metric in (*names, *beyond) for part in ("mean", "spread")]
    header += [
        "parameters",
        "macs",
        "input",
        "latency_ms",
        "latency_p95_ms",
        "peak_memory_mb",
        "device",
        "threads",
    ]
    rows = [_model(model, evidence, names) for model in evidence.models]
    rows += [_baseline(name, scores, evidence, names) for name, scores in evidence.baselines.items()]
    return _text(header, rows)


def cases(evidence: Evidence) -> str:
    """cases.csv: every metric of every run, case and class; `counts` where the case is in the means of models.csv."""
    names = metrics(evidence)
    header = ["run", "model", "role", "seed", "fold", "split", "case", "class", "counts", *names, *COUNTS]
    rows: list[list[Cell]] = []
    for model in evidence.models:
        counted = set(evidence.cases_of(model))
        for run in model.evaluated:
            about: list[Cell] = [run.name, model.short, model.role, run.seed, fold(run), run.split]
            for case, classes in run.scores.values.items() if run.scores else ():
                for name, row in classes.items():
                    values = [defined(row.get(metric)) for metric in names]
                    voxels = [_whole(row.get(count)) for count in COUNTS]
                    rows.append([*about, case, name, _yes(case in counted), *values, *voxels])
    return _text(header, rows)


def _model(model: Model, evidence: Evidence, names: Sequence[str]) -> list[Cell]:
    row: list[Cell] = [model.role, model.short, model.network, model.method]
    row += [len(model.evaluated), len(evidence.cases_of(model)) if model.evaluated else 0]
    row.append(_yes(not evidence.tainted(model)) if model.evaluated else None)
    for metric in names:
        found = figure(model, evidence, metric)
        row += [found.mean, found.spread]
    every = next(iter(lesions(model, evidence)), None)
    sure, found_lesions = calibration(model, evidence), every[3] if every else {}
    for known, wanted in ((sure, FIGURES), (found_lesions, LESIONS)):
        for name in wanted:
            row += [known[name].mean, known[name].spread] if name in known else [None, None]
    cost = model.cost
    if cost is None:
        return [*row, *[None] * 8]
    shape = "x".join(map(str, cost.input)) or None
    row += [cost.parameters, cost.macs, shape, defined(cost.latency_median), defined(cost.latency_p95)]
    return [*row, defined(cost.peak_memory), cost.device or None, cost.threads]


def _baseline(name: str, scores: Scores, evidence: Evidence, names: Sequence[str]) -> list[Cell]:
    """An answer that looks at no image, over the cases that all models share."""
    over = evidence.cases or scores.cases
    row: list[Cell] = ["baseline", name, None, None, None, len(over), "yes"]
    for metric in names:
        row += [defined(mean([scores.of(case, metric) for case in over])), None]
    return [*row, *[None] * (2 * len((*FIGURES, *LESIONS)) + 8)]


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _whole(value: float | None) -> int | None:
    number = defined(value)
    return None if number is None else int(number)


def _harmless(cell: Cell) -> Cell:
    """A name that begins like a formula (`=`, `+`, `-`, `@`, a tab, a line's end) with `'` before it; numbers stay.

    A case named `=cmd|' /C calc'!A0` would else be run by the spreadsheet that opens the table. A carriage return,
    which would tear the row apart, becomes a space.
    """
    if not isinstance(cell, str):
        return cell
    return ("'" if cell.startswith(FORMULA) else "") + cell.replace("\r", " ")


def _text(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return file.getvalue()
