from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from segdistill.evaluation.calibration import Bins, CaseBins
from segdistill.report.comparisons import compare
from segdistill.report.evidence import Evidence
from segdistill.report.exports.sharing import numbered, only, without_places
from segdistill.report.gather import gather
from segdistill.report.leaks import Leak


def test_numbers_follow_the_order_of_names_and_change_no_figure(evidence: Evidence) -> None:
    found = numbered(evidence)
    assert found.cases == tuple(f"case {number:02d}" for number in range(9, 17))  # the last 8 of 16
    for before, after in zip(evidence.comparisons, found.comparisons, strict=True):
        assert after.alone is not None and before.alone is not None
        assert any(after.student is model for model in found.models)
        assert compare(after.student, after.alone, found) == compare(before.student, before.alone, evidence)
    assert numbered(found).cases == found.cases
    assert set(found.runs[0].splits["train"]) == {f"case {number:02d}" for number in range(1, 7)}


def test_whatever_is_kept_by_case_is_numbered(evidence: Evidence) -> None:
    """Every field of a run that names cases; a field that is new has to be thought of here."""
    (model, *others) = evidence.models
    bins = CaseBins(Bins.empty(), Bins.empty())
    run = replace(
        model.run, calibration={"case_08": bins}, lesions={"case_08": ()}, taught_on={"a": ("case_00",)}
    )
    found = numbered(replace(evidence, models=(replace(model, runs=(run,)), *others), comparisons=()))
    assert [list(found.runs[0].calibration), list(found.runs[0].lesions)] == [["case 09"], ["case 09"]]
    for name, value in vars(found.runs[0]).items():
        assert name == "path" or not re.search(r"case_\d\d", repr(value)), name


def test_whatever_the_evidence_knows_of_cases_is_numbered(evidence: Evidence) -> None:
    """Every field of the evidence but its models, told above; a field that is new has to be thought of here."""
    leaks = {Path("run"): (Leak("T1", ("case_08",)),)}
    found = numbered(replace(evidence, leaks=leaks, absent=frozenset({("case_09", "anterior")})))
    assert found.absent == {("case 10", "anterior")} and found.leaks[Path("run")][0].cases == ("case 09",)
    for name, value in vars(found).items():
        assert name in ("models", "comparisons") or not re.search(r"case_\d\d", repr(value)), name


@pytest.mark.parametrize(
    ("difference", "told"),
    [
        ("data.splits.file: /home/anna/a b.json and None", "data.splits.file differs"),
        ("data.splits.test: ['anna'] and 0.2", "data.splits.test differs"),
        ("data.store: None and /x", "data.store differs"),
        ("evaluate.somewhere: b and ~/c", "evaluate.somewhere differs"),
        ("train.epochs: 100 and 50", "train.epochs: 100 and 50"),
    ],
)
def test_differences_are_told_without_places(difference: str, told: str, evidence: Evidence) -> None:
    (one,) = evidence.comparisons
    found = without_places(replace(evidence, comparisons=(replace(one, differences=(difference,)),)))
    assert found.comparisons[0].differences == (told,)


def test_only_what_concerns_a_student(
    make_study: Callable[..., list[Path]],
    make_run: Callable[..., Path],
    scores: Callable[..., Any],
    tmp_path: Path,
) -> None:
    runs = make_study(tmp_path, seeds=1)
    runs.append(
        make_run(
            tmp_path / "other", kind="distilled", network="other", scores=scores(0.3), method="hinton",
            teachers={"gone": "nowhere", "b": str(runs[1])},
        )
    )  # fmt: skip
    evidence = gather(runs)
    found = {one.student.short: only(evidence, one) for one in evidence.comparisons}
    assert [m.short for m in found["S1 teach_former"].models] == ["T1", "T2", "S1", "S1 teach_former"]
    assert [m.short for m in found["S2 hinton"].models] == ["T2", "S2 hinton"]
    assert set(found["S2 hinton"].missing_teachers) == {runs[-1]}
    assert not found["S1 teach_former"].missing_teachers
