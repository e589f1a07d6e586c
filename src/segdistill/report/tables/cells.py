"""Cells that several tables have: a model's name, its size, its scores."""

from __future__ import annotations

from segdistill.report.evidence import Evidence, Model
from segdistill.report.leaks import MARK
from segdistill.report.tables.table import Cell
from segdistill.report.words import NONE, fixed, listing


def model_name(m: Model, evidence: Evidence) -> Cell:
    """Its short name and network, with how it was made in small."""
    tag = m.short.split(" ", 1)[0]
    remarks = []
    if m.role == "distilled":
        comparison = next(c for c in evidence.comparisons if c.student is m)
        taught = [t.short for t in evidence.of("teacher") if t in comparison.teachers]
        taught += dict.fromkeys(one.name for one in evidence.missing_of(m))
        variant = f" ({m.variant})" if m.variant else ""
        remarks.append(m.method + variant + (f" from {listing(taught)}" if taught else ""))
        if m.run.learning:
            remarks.append(f"beside {listing(m.run.learning)}")
    elif m.variant:
        remarks.append(m.variant)
    remarks.append(m.repeats.replace(" ", "\u00a0") if m.evaluated else "not evaluated")
    return Cell(f"{tag}: {m.network}", ", ".join(remarks))


def size(m: Model) -> tuple[Cell, Cell, Cell]:
    """Parameters in millions, and multiplications in billions, counted in two ways."""
    if m.cost is None:
        return Cell(NONE), Cell(NONE), Cell(NONE)
    cells = []
    for value, unit in ((m.cost.parameters, 1e6), (m.cost.macs, 1e9), (m.cost.thop_macs, 1e9)):
        scaled = None if value is None else value / unit
        digits = 2 if scaled is None or scaled >= 0.1 else 4
        cells.append(number(scaled, digits))
    return cells[0], cells[1], cells[2]


def score(m: Model, evidence: Evidence, metric: str, scale: float, name: str | None = None) -> Cell:
    """The mean of a metric over the cases, its spread over repetitions in small; of one class or of all."""
    names = evidence.cases_of(m)
    value, over_seeds = m.mean(metric, names, name), m.spread(metric, names, name)
    extra = f"\u00b1 {fixed(scale * over_seeds)}" if over_seeds is not None else ""
    known = value == value
    mark = MARK if known and evidence.tainted(m) else ""
    return Cell(fixed(scale * value) + mark, extra, scale * value if known else None)


def latency(m: Model) -> Cell:
    """The median time of one input, in milliseconds."""
    return number(m.cost.latency_median if m.cost else None)


def number(value: float | None, digits: int = 1) -> Cell:
    """A number to sort by, or a dash where there is none."""
    known = value is not None and value == value
    return Cell(fixed(value, digits), key=value if known else None)
