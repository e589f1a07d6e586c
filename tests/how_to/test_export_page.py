"""The page about exports, followed as a newcomer would."""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from segdistill.report.exports import FORMATS
from segdistill.run import Run

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "export-evidence.md").read_text(encoding="utf-8")
SARCOMA = "Dataset101_Sarcoma"
FEW = ("data.workers=0", "train.epochs=1", "train.iterations=2")
Command = Callable[..., Any]
Desk = Callable[..., Path]


def lines() -> list[str]:
    """The page's commands, in order."""
    blocks = re.findall(r"```bash\n(.*?)```", PAGE, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def follow(line: str, command: Command) -> Any:
    """Type a line of the page; a training is short and leaves its report to the page."""
    words = shlex.split(line)
    assert words[0] == "segdistill"
    more = (*FEW, "--no-report") if words[1] in ("train", "distill") else ()
    answer = command(*words[1:], *more)
    assert answer.code == 0, f"{line}\n{answer.err}"
    return answer


@pytest.mark.slow
def test_the_commands_about_files(desk: Desk, command: Command) -> None:
    desk(SARCOMA, "runs/teacher")
    for line in lines():
        if "mlflow" not in line and "logged" not in line:
            follow(line, command)
    files = {file for one in FORMATS.values() for file in one.files}
    assert {path.name for path in Path("evidence").iterdir()} == files
    assert {path.name for path in Path("for-others").iterdir()} == files
    cases = set(Run.open("runs/hinton").splits.test)
    named = {row["case"] for row in csv.DictReader(Path("evidence/cases.csv").read_text().splitlines())}
    assert cases <= named
    others = Path("for-others/evidence.json").read_text(encoding="utf-8")
    assert not [case for case in cases if case in others]
    (one,) = [c for c in json.loads(others)["comparisons"] if c["role"] == "alone"]
    assert one["student"] == "S1 hinton" and one["metrics"]["dice"]["n"] == len(cases)


@pytest.mark.slow
@pytest.mark.skipif(
    util.find_spec("mlflow") is None, reason="MLflow is not installed: pip install 'segdistill[mlflow]'"
)
def test_the_commands_about_mlflow(desk: Desk, command: Command) -> None:
    from segdistill.training.mlflow import client

    desk(SARCOMA)
    for line in lines():
        if "mlflow" in line or "logged" in line:
            follow(line, command)
    metrics = client("runs/mlruns").get_run(Run.open("runs/logged").info["mlflow"]["run"]).data.metrics
    assert {"loss/total", "validation/dice", "test/mean/dice", "test/tumour/dice"} <= set(metrics)


def test_the_page_names_every_format_and_file() -> None:
    for name, one in FORMATS.items():
        assert f"`{name}`" in PAGE and all(f"`{file}`" in PAGE for file in one.files)
