"""What a summary counts and what it leaves out."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from segdistill.errors import SegdistillError
from segdistill.evaluation.metrics import METRICS, case_metrics
from segdistill.evaluation.summary import case_values, summaries, summarise


def row(
    case: str, name: str, dice: float | None, assd: float | None, reference: int = 9, prediction: int = 9
) -> dict[str, Any]:
    return {
        "case": case,
        "class": name,
        "dice": dice,
        "assd": assd,
        "reference_voxels": reference,
        "prediction_voxels": prediction,
    }


ROWS = [
    row("p1", "liver", 0.8, 1.0),
    row("p2", "liver", 0.6, 3.0),
    row("p3", "liver", 0.0, None, prediction=0),
    row("p4", "liver", None, None, 0, 0),
    row("p1", "tumour", 0.4, 2.0),
    row("p2", "tumour", None, None, 0, 0),
    row("p3", "tumour", 0.2, 8.0),
    row("p4", "tumour", None, None, 0, 0),
]


def test_each_class_is_summed_up_over_cases() -> None:
    dice = summarise(ROWS)["liver"]["dice"]
    assert dice["mean"] == pytest.approx(1.4 / 3)
    assert dice["std"] == pytest.approx(np.std([0.8, 0.6, 0], ddof=1))
    assert dice["median"] == 0.6
    assert (dice["n"], dice["undefined"], dice["both_empty"]) == (3, 0, 1)


def test_undefined_and_both_empty_are_counted_apart() -> None:
    summary = summarise(ROWS)
    assert summary["liver"]["assd"]["undefined"] == 1
    assert summary["liver"]["assd"]["both_empty"] == 1
    assert summary["tumour"]["assd"]["undefined"] == 0
    assert summary["tumour"]["assd"]["both_empty"] == 2
    for metrics in summary.values():
        for numbers in metrics.values():
            assert numbers["n"] + numbers["undefined"] + numbers["both_empty"] == 4


def test_mean_is_over_cases_of_the_mean_over_classes() -> None:
    dice = summarise(ROWS)["mean"]["dice"]
    values = [(0.8 + 0.4) / 2, 0.6, (0.0 + 0.2) / 2]
    assert dice["mean"] == pytest.approx(np.mean(values))
    assert dice["std"] == pytest.approx(np.std(values, ddof=1))
    assert (dice["n"], dice["undefined"], dice["both_empty"]) == (3, 0, 1)


def test_counts_of_voxels_are_no_metrics() -> None:
    assert set(summarise(ROWS)["liver"]) == {"dice", "assd"}


def test_one_case_has_no_spread() -> None:
    assert summarise(ROWS[:1])["liver"]["dice"] == {
        "mean": 0.8,
        "std": None,
        "median": 0.8,
        "n": 1,
        "undefined": 0,
        "both_empty": 0,
    }


def test_nothing_defined_and_no_rows_are_json() -> None:
    assert summarise([ROWS[3]])["liver"]["dice"]["mean"] is None
    assert summarise([]) == {"mean": {}}
    json.dumps(summarise(ROWS), allow_nan=False)


def test_nan_of_another_tool_is_undefined() -> None:
    assert summarise([row("p1", "liver", math.nan, math.inf)])["liver"]["dice"]["undefined"] == 1


def test_case_values_of_a_class_and_over_classes() -> None:
    assert case_values(ROWS, "dice", "tumour") == {"p1": 0.4, "p2": None, "p3": 0.2, "p4": None}
    assert case_values(ROWS, "dice") == {
        "p1": pytest.approx(0.6),
        "p2": 0.6,
        "p3": pytest.approx(0.1),
        "p4": None,
    }


def test_a_class_called_mean_is_refused() -> None:
    with pytest.raises(SegdistillError, match="rename the class"):
        summarise([row("p1", "mean", 1.0, 0.0)])


def test_rows_of_case_metrics_go_straight_in() -> None:
    label = np.zeros((1, 8, 8), dtype=np.int16)
    label[0, 2:5, 2:5] = 1
    rows = [{"case": "p1", **found} for found in case_metrics(label, label, (1.0, 1.0), ["a", "b"])]
    summary = summarise(rows)
    assert set(summary["a"]) == set(METRICS)
    assert summary["a"]["dice"]["mean"] == 1
    assert summary["b"]["dice"]["both_empty"] == 1
    assert summary["mean"]["dice"]["mean"] == 1


def test_leaking_cases_are_summed_up_with_and_without() -> None:
    marked = [one | ({"leaking": True} if one["case"] in ("p1", "p4") else {}) for one in ROWS]
    found = summaries(marked)
    assert found["summary"] == summarise(ROWS)  # the mark is no metric
    assert found["summary_without_leaks"] == summarise([one for one in ROWS if one["case"] in ("p2", "p3")])
    assert summaries(ROWS).keys() == {"summary"}
    assert summaries([one | {"leaking": True} for one in ROWS]).keys() == {"summary"}  # there are no others
