"""What a finished run still lacks: figures and cost, its own and its teachers', the report, and MLflow's record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from segdistill.cost.record import Cost, keep_cost
from segdistill.evaluation.evaluate import evaluate
from segdistill.model import architecture
from segdistill.report import Report, build
from segdistill.report.shown import Shown
from segdistill.run import Run
from segdistill.training.mlflow import log_scores


def finish(runs: Sequence[Run], out: Path | None = None, *, shown: Shown | None = None) -> Report:
    """Evaluate and measure what has not been, for the runs and the teachers they name; write the report.

    A teacher is scored on its own cases; the report compares on those that all have in common.

    Args:
        shown: which images of cases the report shows.

    Returns:
        The page, report.html in `out` (by default the first run's folder), and its verdict.
    """
    everyone = {run.path.resolve(): run for run in runs}
    for run in runs:
        for path in _teachers(run):
            if (path / "run.json").is_file() and _data(Run.open(path)) == _data(run):
                everyone.setdefault(path.resolve(), Run.open(path))
    known: dict[str, Cost] = {}
    for run in everyone.values():
        made = architecture(run)
        if made["part"]["type"] == "python":
            continue  # a network of the user's own: only they can build it
        if run.finished and not run.file("metrics.json").is_file():
            evaluate(run)
        # One network, one time: equal ones would differ by whatever else the machine was doing.
        same = json.dumps(made, sort_keys=True)
        known[same] = keep_cost(run, known.get(same))
    for run in runs:
        log_scores(run)
    return build([run.path for run in everyone.values()], out or runs[0].path, shown=shown)


def _data(run: Run) -> str | None:
    """The name of a run's data; a teacher that learnt on others has no figures to set beside these."""
    name: str | None = run.info.get("dataset", {}).get("name")
    return name


def _teachers(run: Run) -> Iterator[Path]:
    """Where a run's teachers lie; of one that is several models, each of them."""
    groups = run.info.get("groups", {})
    for name, source in run.info.get("teachers", {}).items():
        yield from map(Path, groups[name]["members"] if name in groups else [source])
