"""What each network needs, and on what that was measured."""

from __future__ import annotations

from segdistill.report.evidence import Evidence
from segdistill.report.scores import mean
from segdistill.report.tables.cells import latency, model_name, number, size
from segdistill.report.tables.table import Cell, Column, Group, Row, Table
from segdistill.report.words import NONE, count, duration


def tabulate(evidence: Evidence) -> Table:
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
        parameters, macs, _ = size(m)
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
                    latency(m),
                    number(cost.latency_p95 if cost else None),
                    number(cost.peak_memory if cost else None, 0),
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
