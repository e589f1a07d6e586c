"""Rows of `case_metrics` over many cases, summed up by class and over the classes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from segdistill.errors import SegdistillError

LEAKING = "leaking"
"""In a row: a teacher of the run had learnt from the case."""
NOT_METRICS = ("class", "case", "reference_voxels", "prediction_voxels", LEAKING)
"""What a row holds beside metrics."""

AVERAGE = "mean"
"""What the average over the classes is called among them."""

Row = Mapping[str, Any]


def summarise(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """Sum up rows of `case_metrics`, each with a `case`, as {class: {metric: numbers}, "mean": ...}.

    The numbers are `mean`, `std` (sample, n - 1; None below two values), `median`, and three counts that add
    up to the number of cases: `n` with a value, `undefined` without one, and `both_empty`, where neither the
    prediction nor the reference has the class, so that there was nothing to measure.

    `mean` averages the classes within each case first (those that have a value), so that its `std` and `n`
    are over cases, which are the unit of all statistics here.

    Raises:
        SegdistillError: a class is called `mean`.
    """
    names = list(dict.fromkeys(str(row["class"]) for row in rows))
    if AVERAGE in names:
        raise SegdistillError(
            f"a class is called `{AVERAGE}`, which names the average over classes here; rename the class"
        )
    summary = {name: _by_metric([[row] for row in rows if row["class"] == name]) for name in names}
    return summary | {AVERAGE: _by_metric(list(_by_case(rows).values()))}


def summaries(rows: Sequence[Row]) -> dict[str, Any]:
    """`summary` of all rows and, where some of the cases leak, `summary_without_leaks` of the others."""
    clean = [row for row in rows if not row.get(LEAKING)]
    apart = {"summary_without_leaks": summarise(clean)} if 0 < len(clean) < len(rows) else {}
    return {"summary": summarise(rows), **apart}


def case_values(rows: Iterable[Row], metric: str, class_name: str | None = None) -> dict[str, float | None]:
    """The value of `metric` in each case: of one class, or averaged over the classes.

    The average is over those classes that have a value in the case; None where there is none. This is
    what `statistics.paired` compares.
    """
    chosen = [row for row in rows if class_name is None or row["class"] == class_name]
    return {case: _value(group, metric) for case, group in _by_case(chosen).items()}


def both_empty(row: Row) -> bool:
    """Whether neither the prediction nor the reference has this class in this case."""
    return row["reference_voxels"] == 0 and row["prediction_voxels"] == 0


def _by_case(rows: Iterable[Row]) -> dict[str, list[Row]]:
    cases: dict[str, list[Row]] = {}
    for row in rows:
        cases.setdefault(str(row.get("case", "")), []).append(row)
    return cases


def _by_metric(groups: Sequence[Sequence[Row]]) -> dict[str, dict[str, float | int | None]]:
    """The numbers of each metric; a group holds the rows that make one value."""
    metrics = dict.fromkeys(key for group in groups for row in group for key in row if key not in NOT_METRICS)
    return {metric: _numbers(groups, metric) for metric in metrics}


def _numbers(groups: Sequence[Sequence[Row]], metric: str) -> dict[str, float | int | None]:
    found = [_value(group, metric) for group in groups]
    values = [value for value in found if value is not None]
    missing = [group for group, value in zip(groups, found, strict=True) if value is None]
    empty = sum(all(both_empty(row) for row in group) for group in missing)
    return {
        "mean": statistics.fmean(values) if values else None,
        "std": statistics.stdev(values) if len(values) > 1 else None,
        "median": statistics.median(values) if values else None,
        "n": len(values),
        "undefined": len(missing) - empty,
        "both_empty": empty,
    }


def _value(group: Sequence[Row], metric: str) -> float | None:
    """The mean over the rows that have a finite value, or None."""
    values = [row[metric] for row in group if row.get(metric) is not None and math.isfinite(row[metric])]
    return statistics.fmean(values) if values else None
