"""Case by case, the worst first."""

from __future__ import annotations

from segdistill.report.evidence import Comparison, Evidence, Model
from segdistill.report.leaks import MARK
from segdistill.report.tables.cells import number
from segdistill.report.tables.table import Cell, Column, Group, Row, Table
from segdistill.report.words import NONE, points, signed


def tabulate(comparison: Comparison, evidence: Evidence, most: int | None = None) -> Table:
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
        cells = [Cell(case + MARK * (case in leaking)), number(points(dice[case]))]
        cells += [number(points(of[case])) for of in scores]
        if gain:
            before = scores[0][case]
            difference = None if before is None else points(dice[case] - before)
            cells.append(Cell(signed(difference), key=difference))
        voxels = _reference_voxels(student, case)
        cells += [number(hd95[case]), Cell(f"{voxels:,.0f}" if voxels is not None else NONE, key=voxels)]
        rows.append(Row(tuple(cells)))
    notes = (
        (f"{MARK} A teacher had learnt from the case: no evidence.",) if leaking.intersection(dice) else ()
    )
    return Table(tuple(columns), (Group("", tuple(rows)),), notes)


def _reference_voxels(m: Model, case: str) -> float | None:
    scores = m.run.scores
    found = scores.values.get(case, {}).values() if scores else ()
    voxels = [row["reference_voxels"] for row in found if row.get("reference_voxels", float("nan")) >= 0]
    return sum(voxels) if voxels else None
