from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

from segdistill.report.evidence import Evidence
from segdistill.report.exports import table_csv
from segdistill.report.exports.sharing import without_places
from segdistill.report.gather import gather


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_row_a_model_and_a_baseline(evidence: Evidence) -> None:
    found = rows(table_csv.models(evidence))
    assert [row["name"] for row in found] == [
        *("T1", "T2", "S1", "S1 teach_former"), *("all_background", "centred_ellipsoid"),
    ]  # fmt: skip
    student = found[3]
    assert (student["role"], student["network"], student["method"]) == ("distilled", "unet", "teach_former")
    assert (student["seeds"], student["cases"], student["evidence"]) == ("3", "8", "yes")
    assert (student["parameters"], student["macs"], student["latency_ms"]) == ("150000", "2000000000", "40.0")
    assert found[0]["dice_spread"] == ""  # one seed has none
    assert found[4]["dice_mean"] == "0.0" and found[4]["parameters"] == ""


def test_means_and_spreads_follow_from_the_cases(evidence: Evidence) -> None:
    """Classes within a case, then seeds within it, then cases; the spread is over the seeds' means."""
    cases = [row for row in rows(table_csv.cases(evidence)) if row["model"] == "S1"]
    by_run: dict[str, dict[str, list[float]]] = {}
    for row in cases:
        by_run.setdefault(row["run"], {}).setdefault(row["case"], []).append(float(row["hd95"]))
    of_run = [fmean(fmean(values) for values in one.values()) for one in by_run.values()]
    (model,) = [row for row in rows(table_csv.models(evidence)) if row["name"] == "S1"]
    assert float(model["hd95_mean"]) == pytest.approx(fmean(of_run))
    assert float(model["hd95_spread"]) == pytest.approx(stdev(of_run))


def test_a_row_a_run_case_and_class(evidence: Evidence) -> None:
    found = rows(table_csv.cases(evidence))
    assert len(found) == 8 * 8 * 2  # runs, cases, classes
    assert {row["counts"] for row in found} == {"yes"}
    first = found[0]
    assert (first["run"], first["model"], first["role"], first["seed"]) == ("teacher_a", "T1", "teacher", "0")
    assert (first["case"], first["class"], first["reference_voxels"]) == ("case_08", "anterior", "300")
    scores = evidence.runs[0].scores
    assert scores is not None and float(first["dice"]) == scores.values["case_08"]["anterior"]["dice"]


def test_what_is_undefined_is_empty(
    make_run: Callable[..., Path], scores: Callable[..., Any], tmp_path: Path
) -> None:
    values = scores(0.7)
    values["case_08"]["anterior"] = None
    text = table_csv.cases(gather([make_run(tmp_path / "run", kind="alone", network="unet", scores=values)]))
    (row,) = [row for row in rows(text) if (row["case"], row["class"]) == ("case_08", "anterior")]
    assert row["dice"] == row["hd95"] == "" and row["reference_voxels"] == "0"


def test_names_with_commas_and_quotes_come_back(
    make_run: Callable[..., Path], scores: Callable[..., Any], tmp_path: Path
) -> None:
    name = 'case, "one"\nand a line'
    values = {name: {"a,b": 0.5}}
    run = make_run(tmp_path / "a, run", kind="alone", network="unet", scores=values)
    (row,) = rows(table_csv.cases(gather([run])))
    assert (row["run"], row["case"], row["class"]) == ("a, run", name, "a,b")


def test_cases_that_a_teacher_had_learnt_from_do_not_count(
    make_run: Callable[..., Path], scores: Callable[..., Any], tmp_path: Path
) -> None:
    learnt = {"train": ["case_08"], "validation": [], "test": []}
    teacher = make_run(tmp_path / "t", kind="alone", network="big", scores=scores(0.8), splits=learnt)
    student = make_run(
        tmp_path / "s", kind="distilled", network="unet", scores=scores(0.7), method="hinton",
        teachers={"t": str(teacher)},
    )  # fmt: skip
    evidence = gather([student])
    counts = {
        row["case"]: row["counts"] for row in rows(table_csv.cases(evidence)) if row["role"] == "distilled"
    }
    assert counts.pop("case_08") == "no" and set(counts.values()) == {"yes"}
    (row,) = [row for row in rows(table_csv.models(evidence)) if row["role"] == "distilled"]
    assert row["cases"] == "7"


def test_folds(
    make_run: Callable[..., Path], scores: Callable[..., Any], tmp_path: Path, telling: list[Path]
) -> None:
    """Unknown where a file gave the splits, or where the recipe does not say."""
    assert {row["fold"] for row in rows(table_csv.cases(gather(telling)))} == {""}


def test_calibration_and_lesions_have_columns(evidence: Evidence) -> None:
    found = rows(table_csv.models(evidence))
    assert found[0]["ece_mean"] == "" and found[0]["lesion_f1_mean"] == "", "these runs do not tell"
    assert len({len(row) for row in found}) == 1 and None not in found[0]


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "@SUM(1)", "+1", "-1", "\t=1", "\r=1"])
def test_no_name_is_a_formula_for_a_spreadsheet(
    make_run: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    scored: dict[str, Any] = {name: {name: 0.5}, "plain": {name: 0.25}}
    splits = {"train": ["x"], "validation": ["y"], "test": list(scored)}
    run = make_run(tmp_path / "r", kind="alone", network="unet", scores=scored, splits=splits)
    harmless = "'" + name.replace("\r", " ")
    found = rows(table_csv.cases(gather([run])))
    assert {row["case"] for row in found} == {harmless, "plain"}
    assert {row["class"] for row in found} == {harmless}
    assert {row["dice"] for row in found} == {"0.5", "0.25"}


def test_numbers_below_zero_stay_numbers() -> None:
    assert table_csv._text(["a", "b"], [[-0.5, "-0.5"]]) == "a,b\n-0.5,'-0.5\n"


def test_runs_of_one_name_are_numbered_and_no_folder_is_named(
    make_run: Callable[..., Path], scores: Callable[..., Any], tmp_path: Path
) -> None:
    runs = [
        make_run(tmp_path / owner / "student", kind="alone", network=network, scores=scores(value))
        for owner, network, value in (("anna", "unet", 0.7), ("bert", "vnet", 0.8))
    ]
    text = table_csv.cases(without_places(gather(runs)))
    assert "anna" not in text and "bert" not in text
    found = {(row["run"], row["model"]) for row in rows(text)}
    assert found == {("student", "S1"), ("student (2)", "S2")}
