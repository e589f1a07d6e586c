"""The page about studies, followed as a newcomer would, with fewer steps."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from segdistill.study.definition import load
from segdistill.study.expansion import expand

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "studies.md").read_text(encoding="utf-8")
FEW = (
    "train.epochs=1",
    "train.iterations=1",
    "data.workers=0",
    "data.patch_size=[8,8,8]",
    "train.validate_every=1",
)
Command = Callable[..., Any]
Desk = Callable[..., Path]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def follow(line: str, command: Command, *more: str) -> Any:
    words = shlex.split(line)
    assert words[0] == "segdistill"
    answer = command(*words[1:], *more)
    assert answer.code == 0, f"{line}\n{answer.err}"
    return answer


def test_the_study_that_is_written_there() -> None:
    study = load(yaml.safe_load(blocks("yaml")[0]))
    names = [one.name for one in expand(study, Path("x"))]
    assert names[0] == "teacher_seed0" and len(names) == 1 + 2 * 2 * 3


@pytest.mark.slow
def test_a_study_of_ones_own_and_a_tuned_baseline(desk: Desk, command: Command) -> None:
    pytest.importorskip("optuna")
    desk("Dataset101_Sarcoma")
    mine = yaml.safe_load(blocks("yaml")[0]) | {"seeds": [0]}
    Path("mine.yaml").write_text(yaml.safe_dump(mine))
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    first = next(line for line in lines if "run mine.yaml data.path" in line)
    answer = follow(first, command, *FEW)
    assert answer.out.strip().endswith("report.html")
    status = follow("segdistill study status studies/mine --json", command)
    assert json.loads(status.out)["counts"] == {"done": 5}
    kept = [line for line in lines if "study keep" in line or "report results" in line or "--export" in line]
    for line in kept:
        follow(line.replace("sarcoma", "mine"), command)
    assert Path("results/mine/report/report.html").is_file() and Path("paper/table.tex").is_file()
    assert not list(Path("results/mine").rglob("*.safetensors"))
    again = first.replace("--out studies/mine", "--out studies/again --reuse studies/mine")
    assert "5 runs taken over from studies/mine" in follow(again, command, *FEW).err
    follow(next(line for line in lines if "study tune" in line), command, *FEW)
    assert load("mine.yaml", layers=["tuning/tuned.yaml"]).settings["tuned"]["trials"] == 2


@pytest.mark.slow
def test_lists_and_plans(desk: Desk, command: Command) -> None:
    desk("Dataset101_Sarcoma")
    assert "teach_former_table1" in follow("segdistill study list", command).out
    line = next(line for line in PAGE.splitlines() if line.endswith("--plan"))
    planned = follow(line, command).out.splitlines()
    assert len(planned) == 21 and planned[0] == "t1_seed0"
    assert not Path("studies").exists()
