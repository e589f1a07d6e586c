"""The tables of a model card, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from segdistill.report.comparisons import compare
from segdistill.report.evidence import Comparison, Evidence, Model
from segdistill.report.exports.card_front import TITLES
from segdistill.report.leaks import MARK
from segdistill.report.markdown import plain
from segdistill.report.tables import Cell, Column, Table
from segdistill.report.words import NONE, p_value, signed

PERCENT = ("dice", "iou", "nsd")


def rendered(table: Table) -> list[str]:
    """A table of the report as lines."""
    rows = [
        [_cell(column, cell) for column, cell in zip(table.columns, row.cells, strict=True)]
        for group in table.groups
        for row in group.rows
    ]
    notes = [line for note in table.notes for line in ("", plain(note))]
    return [*lines([_title(column) for column in table.columns], rows, _numeric(table)), *notes]


def lines(titles: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> list[str]:
    """Titles and cells, Markdown already, as lines."""
    head = [
        "| " + " | ".join(titles) + " |",
        "|" + "|".join("--:" if one else "---" for one in numeric) + "|",
    ]
    return [*head, *("| " + " | ".join(cells) + " |" for cells in rows)]


def against(comparison: Comparison, evidence: Evidence) -> list[str]:
    """The student minus the student alone and minus each teacher, with interval and p-value, a row each metric."""
    rows: list[list[str]] = []
    for other in _others(comparison):
        for metric in TITLES:
            row = _difference(comparison.student, other, evidence, metric)
            if row:
                rows.append(row)
    titles = ["Against", "Figure", "Difference", "95 % CI", "paired t-test", "Wilcoxon", "cases"]
    return lines(titles, rows, [False, False, *[True] * 5]) if rows else []


def name(model: Model) -> str:
    """A model in a sentence: "T1 (swin_unetr)", "the same network trained alone"."""
    return "the same network trained alone" if model.role == "alone" else f"{model.short} ({model.network})"


def _others(comparison: Comparison) -> Iterator[Model]:
    for model in (comparison.alone, *comparison.teachers):
        if model is not None and model.evaluated:
            yield model


def _difference(student: Model, other: Model, evidence: Evidence, metric: str) -> list[str]:
    found = compare(student, other, evidence, metric)
    if found.difference is None:
        return []
    scale, unit = (100, "points") if metric in PERCENT else (1, "mm")
    digits = 1 if metric in PERCENT or metric == "hd95" else 2
    mark = MARK if evidence.tainted(student, other) else ""
    low, high = found.interval or (None, None)
    interval = (
        f"{signed(scale * low, digits)} to {signed(scale * high, digits)}"
        if low is not None and high is not None
        else NONE
    )
    t, w = (NONE if p is None or mark else p_value(p) for p in (found.t_p, found.wilcoxon_p))
    title = TITLES[metric].replace(" (mm)", "")
    told = f"{signed(scale * found.difference, digits)} {unit}{mark}"
    return [plain(name(other)), title, plain(told), interval, plain(t), plain(w), str(found.n)]


def _title(column: Column) -> str:
    return plain(f"{column.title} {column.best}")


def _numeric(table: Table) -> list[bool]:
    return [column.numeric for column in table.columns]


def _cell(column: Column, cell: Cell) -> str:
    if not cell.extra:
        return plain(cell.text)
    return f"{plain(cell.text)} {plain(cell.extra) if column.numeric else f'({plain(cell.extra)})'}"
