"""`segdistill report --export`."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from segdistill.cli import main


@dataclass(frozen=True)
class Answer:
    """What the command said, and its exit code."""

    code: object
    out: str
    err: str


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    def run(*words: object) -> Answer:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr("sys.argv", ["segdistill", "report", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "500")
        code: object = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
            except SystemExit as end:
                code = end.code or 0
        return Answer(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def runs(study: list[Path]) -> list[Path]:
    """Made-up runs as a report takes them: they say what their networks are built of."""
    for run in study:
        about = json.loads((run / "run.json").read_text())
        about["architecture"] = {"part": {"type": "python"}, "facts": {}}
        (run / "run.json").write_text(json.dumps(about))
    return study


def test_export(runs: list[Path], report: Callable[..., Answer], tmp_path: Path) -> None:
    answer = report(*runs, "--out", tmp_path / "page", "--export", tmp_path / "out")
    assert answer.code == 0, answer
    page, *files = answer.out.splitlines()
    assert page == str(tmp_path / "page" / "report.html") and "gains" in answer.err
    assert [Path(file).name for file in files] == [
        *("models.csv", "cases.csv", "table.tex", "evidence.json", "MODEL_CARD.md"),
    ]  # fmt: skip
    assert all(Path(file).is_file() for file in files)


@pytest.mark.slow
def test_what_is_there_is_told_before_any_work(
    runs: list[Path], report: Callable[..., Answer], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "table.tex").write_text("mine")
    answer = report(*runs, "--out", tmp_path / "page", "--export", tmp_path / "out")
    assert answer.code == 2 and "--overwrite" in answer.err and not (tmp_path / "page").exists()
    words = ("--out", tmp_path / "page", "--export", tmp_path / "out", "--format", "latex", "--overwrite")
    answer = report(*runs, *words)
    assert answer.code == 0 and (tmp_path / "out" / "table.tex").read_text() != "mine"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["table.tex"]


@pytest.mark.parametrize("words", [("--format", "csv"), ("--anonymous",), ("--overwrite",)])
def test_how_without_where(words: tuple[str, ...], runs: list[Path], report: Callable[..., Answer]) -> None:
    answer = report(*runs, *words)
    assert answer.code == 2 and "--export" in answer.err


def test_an_unknown_format(runs: list[Path], report: Callable[..., Answer], tmp_path: Path) -> None:
    answer = report(*runs, "--export", tmp_path / "out", "--format", "cvs")
    assert answer.code == 2 and "did you mean 'csv'" in answer.err


def test_without_a_student_there_is_no_card(
    runs: list[Path], report: Callable[..., Answer], tmp_path: Path
) -> None:
    teachers = [run for run in runs if run.name.startswith("teacher")]
    words = ("--out", tmp_path / "page", "--export", tmp_path / "out")
    answer = report(*teachers, *words)
    assert answer.code == 0 and "no MODEL_CARD.md" in answer.err
    assert not (tmp_path / "out" / "MODEL_CARD.md").exists()
    answer = report(*teachers, *words, "--format", "card")
    assert answer.code == 2 and "a model card is of a distilled student" in answer.err


@pytest.mark.slow
def test_anonymous(runs: list[Path], report: Callable[..., Answer], tmp_path: Path) -> None:
    words = ("--out", tmp_path / "page", "--export", tmp_path / "out", "--anonymous")
    assert report(*runs, *words).code == 0
    assert "case_08" not in (tmp_path / "out" / "cases.csv").read_text()
