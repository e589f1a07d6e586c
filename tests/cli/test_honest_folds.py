"""Five folds into one model, in small: which figures of it are evidence, and that the rest is called what it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segdistill import finish
from segdistill.report.cautions import examine
from segdistill.report.gather import gather
from segdistill.run import Run

Command = Callable[..., Any]
FOLDS = ("data.splits.folds=3", "data.splits.test=[c0]")


@pytest.fixture
def folds(volumes: Callable[..., Path], train: Command) -> list[Path]:
    """Three runs, each of another fold, with the same test case."""
    volumes()
    for fold in range(3):
        answer = train(*FOLDS, f"data.splits.fold={fold}", "--out", f"runs/fold_{fold}")
        assert answer.code == 0, answer.err
    return sorted(Path("runs").glob("fold_?"))


@pytest.fixture
def distil(segdistill: Command, training: Callable[..., tuple[object, ...]]) -> Callable[..., Path]:
    """Distils with more words into a folder under `runs`."""

    def run(name: str, *words: str, report: bool = False) -> Path:
        tiny = [word for word in training()[2:] if word != "--no-report" or not report]
        answer = segdistill("distill", "hinton", *tiny, *words, "--out", f"runs/{name}")
        assert answer.code == 0, answer.err
        return Path("runs") / name

    return run


def read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


def test_out_of_fold_is_judged_on_cases_outside_all_folds(
    folds: list[Path], distil: Callable[..., Path], segdistill: Command
) -> None:
    student = distil(
        "student", *FOLDS, "teachers.t.path=runs/fold_?", "teachers.t.folds=out_of_fold", report=True
    )
    info = read(student / "run.json")
    assert info["groups"]["t"] == {"members": [str(run.resolve()) for run in folds], "folds": "out_of_fold"}
    assert info["taught_on"] == {"t": ["c1", "c2", "c3", "c4", "c5"]}

    tested = read(student / "metrics.json")
    assert tested["split"] == "test" and "leaks" not in tested
    assert not any("leaking" in row for row in tested["cases"])
    assert all((run / "metrics.json").is_file() for run in folds)  # its teachers were evaluated, too
    told = (student / "report.md").read_text(encoding="utf-8")
    assert "| T1: unet (3 folds)" in told.replace("\u00a0", " ")
    assert all(title not in told for title in ("Leak", "Teacher not found", "Teacher not scored"))
    assert "Of its teachers, t was asked once about each case beforehand." in told

    answer = segdistill("evaluate", student, "--subset", "validation")
    held_out = read(student / "splits.json")["validation"]
    number = len(held_out)
    assert f"warning: teacher t had learnt from {number} of these {number} cases" in answer.err
    validated = read(student / "metrics_validation.json")
    assert validated["leaks"] == {"t": held_out}
    assert all(row["leaking"] is True for row in validated["cases"])
    assert "summary_without_leaks" not in validated  # there are no others
    assert "leaking" not in validated["summary"]["tumour"]


def test_matched_leaves_validation_cases_unseen(
    folds: list[Path], distil: Callable[..., Path], segdistill: Command
) -> None:
    words = ("data.splits.fold=1", "teachers.t.path=runs/fold_?", "teachers.t.folds=matched")
    student = distil("student", *FOLDS, *words)
    info = read(student / "run.json")
    assert info["teachers"] == {"t": str(folds[1].resolve())} and info["groups"] == {}
    answer = segdistill("evaluate", student, "--subset", "validation")
    assert "had learnt" not in answer.err
    assert "leaks" not in read(student / "metrics_validation.json")


def test_a_teacher_that_has_seen_test_cases_is_named(
    folds: list[Path], distil: Callable[..., Path], segdistill: Command
) -> None:
    """The student is tested on c0, which no fold has seen, and on a case that one of them was trained on."""
    seen = read(folds[0] / "splits.json")["train"][0]
    splits = ("data.splits.folds=3", f"data.splits.test=[c0,{seen}]")
    student = distil("student", *splits, "teachers.t.path=runs/fold_0")
    assert segdistill("evaluate", student).code == 0
    metrics = read(student / "metrics.json")
    assert metrics["leaks"] == {"t": [seen]}
    assert {row["case"] for row in metrics["cases"] if row.get("leaking")} == {seen}
    clean = [row["dice"] for row in metrics["cases"] if row["case"] == "c0"]
    assert metrics["summary_without_leaks"]["tumour"]["dice"]["mean"] == clean[0]
    assert metrics["summary"]["tumour"]["dice"]["n"] == 2
    answer = segdistill("evaluate", student)
    assert f"teacher t had learnt from 1 of these 2 cases ({seen})" in answer.err
    assert "tumour (without leaking cases)" in answer.out
    leak = next(caution for caution in examine(gather([student])) if caution.title == "Leak")
    assert leak.severity == "serious"
    assert f"T1 was trained on 1 case that students here are scored on ({seen})" in leak.text


def test_a_teacher_of_other_data_is_not_set_beside_the_student(
    volumes: Callable[..., Path], train: Command, distil: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes()
    volumes("other", names=("d0", "d1", "d2", "d3", "d4", "d5"))
    assert train("data.path=other", "--out", "runs/foreign").code == 0
    student = distil("student", *FOLDS, "teachers.t.path=runs/foreign")
    assert read(student / "run.json")["taught_on"] == {}, "it may have had these cases under other names"
    shown: list[Path] = []
    monkeypatch.setattr(finish, "build", lambda runs, out, **_: shown.extend(runs))
    finish.finish([Run.open(student)])
    assert shown == [student]
    assert not Path("runs/foreign/metrics.json").exists()
