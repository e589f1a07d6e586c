"""Dice class by class."""

from __future__ import annotations

from segdistill.report.evidence import Evidence
from segdistill.report.leaks import note
from segdistill.report.tables.cells import model_name, score
from segdistill.report.tables.table import ROLES, Column, Group, Row, Table


def tabulate(evidence: Evidence) -> Table | None:
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
                    *(score(m, evidence, "dice", 100, name) for name in evidence.classes),
                )
            )
            for m in evidence.of(role)
            if m.evaluated
        )
        if rows:
            groups.append(Group(title, rows))
    return Table(columns, tuple(groups), note(evidence.tainted(m) for m in evidence.models))
