"""The results that are kept with the project: their report can be made again, and the text says what they say."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from statistics import mean

import pytest

from segdistill.report import build

RESULTS = Path(__file__).parents[2] / "docs" / "results"
STUDIES = sorted(folder.parent for pattern in ("*/runs", "*/*/runs") for folder in RESULTS.glob(pattern))


def dice(study: Path, runs: str) -> float:
    """Mean Dice of the runs of a name (its seeds), over cases."""
    files = sorted((study / "runs").glob(f"{runs}/metrics.json"))
    assert files, runs
    return mean(json.loads(file.read_text())["summary"]["mean"]["dice"]["mean"] for file in files)


def test_there_are_results() -> None:
    found = {str(study.relative_to(RESULTS)) for study in STUDIES}
    assert found == {"hippocampus", "sarcoma", "methods/hippocampus", "methods/ulcer", "nnunet", "knowledge"}


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: str(study.relative_to(RESULTS)))
def test_report_is_made_again_from_what_is_kept(study: Path, tmp_path: Path) -> None:
    shutil.copytree(study / "runs", tmp_path / "runs")
    build(sorted((tmp_path / "runs").iterdir()), tmp_path / "out")
    kept, made = (folder / "report.md" for folder in (study, tmp_path / "out"))
    # Teachers are numbered in the order in which they were given.
    verdict, again = (re.sub(r"\(T\d", "(T", page.read_text(encoding="utf-8")) for page in (kept, made))
    assert verdict.split("\n\n")[2] in again


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: str(study.relative_to(RESULTS)))
def test_text_says_what_the_files_say(study: Path) -> None:
    groups = {path.name.rstrip("0123456789").rstrip("_") for path in (study / "runs").iterdir()}
    own = study / "README.md"
    text = (own if own.is_file() else RESULTS / "README.md").read_text(encoding="utf-8")
    for group in groups:
        name = group if (study / "runs" / group).is_dir() else f"{group}_?"
        assert f"{100 * dice(study, name):.1f}" in text, group


def test_nothing_tells_of_the_machine_it_was_made_on() -> None:
    for file in RESULTS.rglob("*"):
        if file.suffix in (".json", ".jsonl", ".yaml", ".md", ".html"):
            text = file.read_text(encoding="utf-8")
            assert not any(place in text for place in ("/home/", "/root/", "/work/", "/Users/", "/tmp/")), (
                file
            )
