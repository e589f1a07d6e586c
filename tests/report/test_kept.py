"""The results that are kept with the project: their report can be made again, and the text says what they say."""

from __future__ import annotations

import json
import re
import shutil
from functools import cache
from pathlib import Path
from statistics import mean

import pytest

from segdistill.report import build
from segdistill.report.evidence import Evidence
from segdistill.report.figures import folder
from segdistill.report.gather import gather
from segdistill.study.folder import StudyFolder
from segdistill.study.report import report

RESULTS = Path(__file__).parents[2] / "docs" / "results"
STUDIES = sorted(folder.parent for pattern in ("*/runs", "*/*/runs") for folder in RESULTS.glob(pattern))


@cache
def figures(study: Path) -> Evidence:
    """All that a study's report tells."""
    return gather([study / "runs"])


def group(run: str) -> str:
    """What the seeds of a run's name have in common."""
    return re.sub(r"_(seed)?\d+$", "", run)


def dice(study: Path, name: str) -> float:
    """Mean Dice of the runs of a group: classes in a case, then seeds, then cases; undefined left out.

    Where some run of the study sees what is not there, Dice 1 counts for those that see nothing.
    """
    files = [file for file in (study / "runs").glob("*/metrics.json") if group(file.parent.name) == name]
    assert files, name
    absent = figures(study).absent
    seeds: dict[str, list[float]] = {}
    for file in files:
        classes: dict[str, list[float]] = {}
        for row in json.loads(file.read_text())["cases"]:
            if (row["case"], row["class"]) in absent or row["dice"] is not None:
                classes.setdefault(row["case"], []).append(1.0 if row["dice"] is None else row["dice"])
        for case, values in classes.items():
            seeds.setdefault(case, []).append(mean(values))
    return mean(mean(values) for values in seeds.values())


def test_there_are_results() -> None:
    found = {str(study.relative_to(RESULTS)) for study in STUDIES}
    assert found == {
        "hippocampus",
        "sarcoma",
        "nnunet",
        "knowledge",
        "methods-ulcer",
        "methods-hippocampus",
        "hinton-hippocampus",
        "teach-former-table1",
        "teach-former-table3",
        "teach-former-table4",
        "labels-hippocampus",
        "hlfd-head-neck",
        "hlfd-why",
    }


def kept_report(study: Path) -> Path:
    """The report of a study, or of an older collection of runs."""
    return next(folder for folder in (study / "report", study) if (folder / "report.md").is_file())


def verdict(page: Path) -> str:
    """The sentences that a report begins with."""
    return " ".join(re.findall(r"^\*\*(.+)\*\*$", page.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: str(study.relative_to(RESULTS)))
def test_report_is_made_again_from_what_is_kept(study: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(study / "runs", kept / "runs")
    if (study / "study.yaml").is_file():
        shutil.copy(study / "study.yaml", kept)
        report(StudyFolder.open(kept), tmp_path / "out")
    else:
        build(sorted((kept / "runs").iterdir()), tmp_path / "out")
    # Teachers are numbered in the order in which they were given.
    before, again = (
        re.sub(r"\(T\d", "(T", verdict(folder / "report.md"))
        for folder in (kept_report(study), tmp_path / "out")
    )
    assert before and before == again


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: str(study.relative_to(RESULTS)))
def test_text_says_what_the_files_say(study: Path) -> None:
    groups = {group(path.name) for path in (study / "runs").iterdir()}
    own = study / "README.md"
    text = (own if own.is_file() else RESULTS / "README.md").read_text(encoding="utf-8")
    for name in groups:
        assert f"{100 * dice(study, name):.1f}" in text, name


def test_nothing_tells_of_the_machine_it_was_made_on() -> None:
    for file in RESULTS.rglob("*"):
        if file.suffix in (".json", ".jsonl", ".yaml", ".md", ".html"):
            text = file.read_text(encoding="utf-8")
            assert not any(place in text for place in ("/home/", "/root/", "/work/", "/Users/", "/tmp/")), (
                file
            )


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: str(study.relative_to(RESULTS)))
def test_all_kept_figures_would_be_replaced(study: Path) -> None:
    """A figure with a new name has to be thought of there, or it would outlive its report."""
    for file in (kept_report(study) / "figures").iterdir():
        assert folder.OURS.fullmatch(file.name), file
