"""Evidence of made-up runs, with everything in it that must not come out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from segdistill.report.evidence import Evidence
from segdistill.report.gather import gather


@pytest.fixture
def evidence(study: list[Path]) -> Evidence:
    """Two teachers, a student alone and a distilled one, three seeds each."""
    return gather(study)


@pytest.fixture
def telling(tmp_path: Path, make_study: Callable[..., list[Path]]) -> list[Path]:
    """The same runs, whose recipes name folders, files, a server and cases."""
    runs = make_study(tmp_path / "anna's disk")
    for run in runs:
        content = yaml.safe_load((run / "recipe.yaml").read_text())
        del content["student"]["width"]  # so that the recipe is one, and defaults are filled in
        content["data"] |= {"store": "/scratch/anna/store"}
        content["data"]["splits"] = {
            "file": f"../secret/{run.name}/splits.json",
            "test": ["case_08", "case_09"],
        }
        content["train"]["mlflow"] = "http://tracking.hospital.example:5000"
        (run / "recipe.yaml").write_text(yaml.safe_dump(content))
        about = json.loads((run / "run.json").read_text())
        about["command"] = f"segdistill train data.path={tmp_path} case_08"
        (run / "run.json").write_text(json.dumps(about))
    return runs
