"""Evidence for runs: figures and cost of each and of its teachers, then the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segdistill.costing import keep_cost
from segdistill.evaluation.evaluate import evaluate
from segdistill.model import architecture
from segdistill.report import build
from segdistill.run import Run


def gather(runs: Sequence[Run], out: Path | None = None) -> Path:
    """Evaluate and measure what has not been, for the runs and the teachers they name; write the report.

    A teacher is scored on its own test cases; the report compares on those that all have in common.

    Returns:
        The page, report.html in `out` (by default the first run's folder).
    """
    everyone = {run.path.resolve(): run for run in runs}
    for run in runs:
        for source in run.info.get("teachers", {}).values():
            path = Path(source)
            if (path / "run.json").is_file():
                everyone.setdefault(path.resolve(), Run.open(path))
    for run in everyone.values():
        own = architecture(run)["part"]["type"] == "python"
        if not run.file("metrics.json").is_file() and not own and run.splits.test:
            evaluate(run)
        if not run.file("cost.json").is_file() and not own:
            keep_cost(run)
    return build([run.path for run in everyone.values()], out or runs[0].path)
