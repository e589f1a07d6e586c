"""The tables of the report, as text with a key to sort by; no HTML and no Markdown here."""

from __future__ import annotations

from dataclasses import dataclass

from segdistill.report.evidence import Comparison, Evidence, Model
from segdistill.report.leaks import MARK, legend
from segdistill.report.scores import Scores, mean
from segdistill.report.words import BASELINES, NONE, count, duration, fixed, listing, points, signed

ROLES = {"teacher": "Teachers", "alone": "Students alone", "distilled": "Distilled students"}


@dataclass(frozen=True)
class Cell:
    """Text, a smaller addition (a spread, a remark), and what to sort by where that is a number."""

    text: str
    extra: str = ""
    key: float | None = None


@dataclass(frozen=True)
class Column:
    """A title, whether numbers stand below it, and an arrow in the direction of better."""

    title: str
    numeric: bool = True
    best: str = ""  # an arrow: which direction is better


@dataclass(frozen=True)
class Row:
    """A row; the marked one is what the verdict is about."""

    cells: tuple[Cell, ...]
    marked: bool = False


@dataclass(frozen=True)
class Group:
    """Rows under a title of their own."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    """Rows in titled groups (one untitled group where there is nothing to group by)."""

    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()


def models(evidence: Evidence) -> Table:
    """The table of Teach-Former's Table 1, with answers that look at no image below."""
    columns = (
        Column("Model", numeric=False),
        Column("Params (M)", best="\u2193"),
        Column("GMACs", best="\u2193"),
        Column("GMACs (thop)", best="\u2193"),
        Column("Dice", best="\u2191"),
        Column("mIoU", best="\u2191"),
        Column("HD95 (mm)", best="\u2193"),
        Column("NSD", best="\u2191"),
        Column("Latency (ms)", best="\u2193"),
    )
    head = evidence.headline.student if evidence.headline else None
    groups = []
    for role, title in ROLES.items():
        rows = tuple(Row((model_name(m, evidence), *_size(m), *_quality(m, evidence), _latency(m)), m is head)
                     for m in evidence.of(role))  # fmt: skip
        if rows:
            groups.append(Group(title, rows))
    trivial = tuple(_trivial(name, scores, evidence) for name, scores in evidence.baselines.items())
    if trivial:
        groups.append(Group("Baselines that look at no image", trivial))
    own = f"each model\u2019s own {evidence.noun}s"
    cases = count(len(evidence.cases), evidence.noun) if evidence.cases else own
    dropped = dict.fromkeys(case for m in evidence.models for case in evidence.left_out(m))
    if dropped:
        cases += f" ({len(dropped)} more are left out, because a teacher had learnt from them)"
    tolerance = next((run.tolerance for run in evidence.runs if run.tolerance is not None), None)
    nsd = f" at a tolerance of {tolerance:g} mm" if tolerance is not None else ""
    return Table(
        columns,
        tuple(groups),
        (
            f"Means over {cases} and over the foreground classes, in percent for Dice, mIoU and NSD (surface "
            f"Dice{nsd}); \u00b1 is the standard deviation over seeds. A case without reference and "
            "prediction of a class is left out of that class. Where the image has no scale, a pixel counts "
            "as 1 mm.",
            "GMACs: multiplications and additions of every layer for one input, in pairs. thop: as that tool "
            "counts them, which is what papers print as GFLOPs.",
            *_legend(evidence),
        ),
    )


def per_class(evidence: Evidence) -> Table | None:
    """Dice by class, where there is more than one."""
    if len(evidence.classes) < 2:
        return None
    columns = (Column("Model", numeric=False), *(Column(name, best="\u2191") for name in evidence.classes))
    groups = []
    for role, title in ROLES.items():
        rows = tuple(
            Row(
                (
                    model_name(m, evidence),
                    *(_score(m, evidence, "dice", 100, name) for name in evidence.classes),
                )
            )
            for m in evidence.of(role)
            if m.evaluated
        )
        if rows:
            groups.append(Group(title, rows))
    return Table(columns, tuple(groups), _legend(evidence))


def _legend(evidence: Evidence) -> tuple[str, ...]:
    told = legend(evidence.tainted(m) for m in evidence.models).strip()
    return (told,) if told else ()


def cases(comparison: Comparison, evidence: Evidence, most: int | None = None) -> Table:
    """Cases by the Dice of the distilled student, the worst first; those that a teacher had learnt from are marked."""
    student, alone = comparison.student, comparison.alone
    teacher = next((t for t in comparison.teachers if t.evaluated), None)
    shown = [m for m in (student, alone, teacher) if m is not None and m.evaluated]
    names = tuple(dict.fromkeys((*evidence.cases_of(*shown), *evidence.left_out(*shown))))
    leaking = evidence.leaking(*shown) | set(evidence.left_out(*shown))
    dice = {case: value for case, value in student.by_case("dice", names).items() if value is not None}
    hd95 = student.by_case("hd95", names)
    others = [m for m in (alone, teacher) if m is not None and m.evaluated]
    scores = [m.by_case("dice", names) for m in others]
    gain = alone is not None and bool(alone.evaluated)
    columns = [Column("Case", numeric=False), Column("Dice, distilled", best="\u2191")]
    columns += [Column("Dice, alone" if m is alone else f"Dice, {m.short}", best="\u2191") for m in others]
    columns += [Column("Gain")] if gain else []
    columns += [Column("HD95 (mm)", best="\u2193"), Column("Reference (voxels)")]
    rows = []
    for case in sorted(dice, key=lambda name: (dice[name], name))[:most]:
        cells = [Cell(case + MARK * (case in leaking)), _number(points(dice[case]))]
        cells += [_number(points(of[case])) for of in scores]
        if gain:
            before = scores[0][case]
            difference = None if before is None else points(dice[case] - before)
            cells.append(Cell(signed(difference), key=difference))
        voxels = _reference_voxels(student, case)
        cells += [_number(hd95[case]), Cell(f"{voxels:,.0f}" if voxels is not None else NONE, key=voxels)]
        rows.append(Row(tuple(cells)))
    notes = (
        (f"{MARK} A teacher had learnt from the case: no evidence.",) if leaking.intersection(dice) else ()
    )
    return Table(tuple(columns), (Group("", tuple(rows)),), notes)


def costs(evidence: Evidence) -> Table:
    """What each network needs, and how much less than the largest teacher."""
    columns = (
        Column("Model", numeric=False),
        Column("Input", numeric=False),
        Column("Params (M)", best="\u2193"),
        Column("GMACs", best="\u2193"),
        Column("Latency (ms)", best="\u2193"),
        Column("95th percentile (ms)", best="\u2193"),
        Column("Memory (MB)", best="\u2193"),
        Column("Measured on", numeric=False),
        Column("Training"),
    )
    rows = []
    for m in evidence.models:
        parameters, macs, _ = _size(m)
        cost = m.cost
        shape = " \u00d7 ".join(map(str, cost.input)) if cost and cost.input else NONE
        threads = f", {count(cost.threads, 'thread')}" if cost and cost.threads else ""
        seconds = [run.seconds for run in m.runs if run.seconds is not None]
        rows.append(
            Row(
                (
                    model_name(m, evidence),
                    Cell(shape),
                    parameters,
                    macs,
                    _latency(m),
                    _number(cost.latency_p95 if cost else None),
                    _number(cost.peak_memory if cost else None, 0),
                    Cell((cost.device + threads) if cost and cost.device else NONE),
                    Cell(
                        duration(mean(seconds)) if seconds else NONE, key=mean(seconds) if seconds else None
                    ),
                )
            )
        )
    return Table(
        columns,
        (Group("", tuple(rows)),),
        (
            "Memory: the weights and what a forward pass adds at its peak, not the whole process. Training: "
            "wall time of one run, averaged over seeds.",
        ),
    )


def model_name(m: Model, evidence: Evidence) -> Cell:
    """Its short name and network, with how it was made in small."""
    tag = m.short.split(" ", 1)[0]
    remarks = []
    if m.role == "distilled":
        comparison = next(c for c in evidence.comparisons if c.student is m)
        taught = [t.short for t in evidence.of("teacher") if t in comparison.teachers]
        taught += dict.fromkeys(
            one.name for run in m.runs for one in evidence.missing_teachers.get(run.name, ())
        )
        remarks.append(m.method + (f" from {listing(taught)}" if taught else ""))
        if m.run.learning:
            remarks.append(f"beside {listing(m.run.learning)}")
    elif " " in m.short:
        remarks.append(m.short.split(" ", 1)[1].strip("()"))
    remarks.append(m.repeats.replace(" ", "\u00a0") if m.evaluated else "not evaluated")
    return Cell(f"{tag}: {m.network}", ", ".join(remarks))


def _size(m: Model) -> tuple[Cell, Cell, Cell]:
    if m.cost is None:
        return Cell(NONE), Cell(NONE), Cell(NONE)
    cells = []
    for value, unit in ((m.cost.parameters, 1e6), (m.cost.macs, 1e9), (m.cost.thop_macs, 1e9)):
        scaled = None if value is None else value / unit
        digits = 2 if scaled is None or scaled >= 0.1 else 4
        cells.append(_number(scaled, digits))
    return cells[0], cells[1], cells[2]


def _quality(m: Model, evidence: Evidence) -> tuple[Cell, ...]:
    wanted = (("dice", 100.0), ("iou", 100.0), ("hd95", 1.0), ("nsd", 100.0))
    return tuple(_score(m, evidence, metric, scale) for metric, scale in wanted)


def _score(m: Model, evidence: Evidence, metric: str, scale: float, name: str | None = None) -> Cell:
    names = evidence.cases_of(m)
    value, over_seeds = m.mean(metric, names, name), m.spread(metric, names, name)
    extra = f"\u00b1 {fixed(scale * over_seeds)}" if over_seeds is not None else ""
    known = value == value
    mark = MARK if known and evidence.tainted(m) else ""
    return Cell(fixed(scale * value) + mark, extra, scale * value if known else None)


def _latency(m: Model) -> Cell:
    return _number(m.cost.latency_median if m.cost else None)


def _trivial(name: str, scores: Scores, evidence: Evidence) -> Row:
    names = evidence.cases or scores.cases
    cells = [Cell(BASELINES.get(name, name).capitalize()), Cell(NONE), Cell(NONE), Cell(NONE)]
    for metric, scale in (("dice", 100.0), ("iou", 100.0), ("hd95", 1.0), ("nsd", 100.0)):
        cells.append(_number(scale * mean([scores.of(case, metric) for case in names])))
    return Row((*cells, Cell(NONE)))


def _number(value: float | None, digits: int = 1) -> Cell:
    known = value is not None and value == value
    return Cell(fixed(value, digits), key=value if known else None)


def _reference_voxels(m: Model, case: str) -> float | None:
    scores = m.run.scores
    found = scores.values.get(case, {}).values() if scores else ()
    voxels = [row["reference_voxels"] for row in found if row.get("reference_voxels", float("nan")) >= 0]
    return sum(voxels) if voxels else None
