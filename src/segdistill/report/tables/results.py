"""The table of Teach-Former's Table 1: size, overlap, distances, speed."""

from __future__ import annotations

from segdistill.report.evidence import Evidence, Model
from segdistill.report.leaks import note
from segdistill.report.scores import Scores, mean
from segdistill.report.tables.cells import latency, model_name, number, score, size
from segdistill.report.tables.table import ROLES, Cell, Column, Group, Row, Table
from segdistill.report.words import BASELINES, NONE, count


def tabulate(evidence: Evidence) -> Table:
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
        rows = tuple(Row((model_name(m, evidence), *size(m), *_quality(m, evidence), latency(m)), m is head)
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
    nsd = f" at a tolerance of {evidence.tolerance:g} mm" if evidence.tolerance is not None else ""
    return Table(
        columns,
        tuple(groups),
        (
            f"Means over {cases} and over the foreground classes, in percent for Dice, mIoU and NSD (surface "
            f"Dice{nsd}); \u00b1 is the standard deviation over {evidence.over}. A case without reference and "
            "prediction of a class is left out of that class, unless another run sees something there: then it counts "
            "as right. Where the image has no scale, a pixel counts as 1 mm.",
            "GMACs: multiplications and additions of every layer for one input, in pairs. thop: as that tool "
            "counts them, which is what papers print as GFLOPs.",
            *note(evidence.tainted(m) for m in evidence.models),
        ),
    )


def _quality(m: Model, evidence: Evidence) -> tuple[Cell, ...]:
    wanted = (("dice", 100.0), ("iou", 100.0), ("hd95", 1.0), ("nsd", 100.0))
    return tuple(score(m, evidence, metric, scale) for metric, scale in wanted)


def _trivial(name: str, scores: Scores, evidence: Evidence) -> Row:
    names = evidence.cases or scores.cases
    cells = [Cell(BASELINES.get(name, name).capitalize()), Cell(NONE), Cell(NONE), Cell(NONE)]
    for metric, scale in (("dice", 100.0), ("iou", 100.0), ("hd95", 1.0), ("nsd", 100.0)):
        cells.append(number(scale * mean([scores.of(case, metric) for case in names])))
    return Row((*cells, Cell(NONE)))
