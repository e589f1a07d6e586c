"""One figure of a model as all exports give it: mean and spread, None where undefined."""

from __future__ import annotations

import math
from dataclasses import dataclass

from segdistill.evaluation.metrics import METRICS
from segdistill.report.evidence import Evidence, Model
from segdistill.report.run_folder import RunRecord

COUNTS = ("reference_voxels", "prediction_voxels")
NOT_METRICS = (*COUNTS, "leaking")


@dataclass(frozen=True)
class Figure:
    """A metric over the cases that count for a model.

    `mean` is over the `n` cases that have a value, after the seeds were averaged within each case; `spread` is the
    sample standard deviation of the seeds' own means, None with one seed.
    """

    mean: float | None
    spread: float | None
    by_seed: tuple[float | None, ...]
    n: int


def figure(model: Model, evidence: Evidence, metric: str, name: str | None = None) -> Figure:
    """A metric of a model: of the class `name`, or averaged over the classes within each case."""
    cases = evidence.cases_of(model)
    values = model.by_case(metric, cases, name)
    return Figure(
        mean=defined(model.mean(metric, cases, name)),
        spread=defined(model.spread(metric, cases, name)),
        by_seed=tuple(map(defined, model.by_seed(metric, cases, name))),
        n=sum(value is not None for value in values.values()),
    )


def metrics(evidence: Evidence) -> tuple[str, ...]:
    """The metrics that any run was scored by, in the order of tables."""
    scores = [run.scores for run in evidence.evaluated if run.scores]
    found = {
        metric
        for one in scores
        for classes in one.values.values()
        for row in classes.values()
        for metric in row
        if metric not in NOT_METRICS
    }
    others = sorted(found - set(METRICS))
    return (*(metric for metric in METRICS if metric in found), *others)


def defined(value: float | None) -> float | None:
    """The value, or None where it is no finite number."""
    return None if value is None or not math.isfinite(value) else float(value)


def fold(run: RunRecord) -> int | None:
    """The fold whose cases validated; None where the splits were given as lists or as a file."""
    splits = (run.recipe.get("data") or {}).get("splits") or {}
    # A key that is not there was withheld, because it names a file or cases.
    if any(splits.get(key, "given") is not None for key in ("file", "train", "validation")):
        return None
    number = splits.get("fold")
    return None if number is None else int(number)
