"""`segdistill view`: what it refuses, and that it serves until Ctrl-C."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segdistill.viewer import page

Refused = Callable[..., str]


@pytest.fixture
def drawing(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for NiiVue."""
    folder = tmp_path_factory.mktemp("vendor")
    for name in page.VENDORED:
        (folder / name).write_text("//\n")
    monkeypatch.setattr(page, "VENDOR", folder)
    return folder


@pytest.fixture
def evaluated(trained: Any, segdistill: Callable[..., Any], drawing: Path) -> Path:
    """A run with masks."""
    assert segdistill("evaluate", "runs/teacher").code == 0
    return Path("runs/teacher")


def test_no_such_run(refused: Refused) -> None:
    refused("view", "runs/none", told=["runs/none", "not a run", "segdistill train"])


def test_a_run_without_masks(refused: Refused, trained: Any) -> None:
    refused("view", "runs/teacher", told=["no predicted masks", "segdistill evaluate runs/teacher"])


def test_images_that_were_moved_away(refused: Refused, evaluated: Path) -> None:
    recipe = evaluated / "recipe.yaml"
    lines = recipe.read_text().splitlines()
    moved = [
        f"{line.partition('path:')[0]}path: gone" if line.startswith("  path:") else line for line in lines
    ]
    recipe.write_text("\n".join(moved))
    refused("view", evaluated, told=["recipe.yaml", "data.path", "gone", "correct the path"])


def test_a_case_that_is_not_there(refused: Refused, evaluated: Path) -> None:
    (one, *_) = json.loads((evaluated / "splits.json").read_text())["test"]
    refused("view", evaluated, "--case", "nobody", told=["nobody", "choose --case from", one])


def test_a_case_without_a_mask(refused: Refused, evaluated: Path) -> None:
    (one, *_) = json.loads((evaluated / "splits.json").read_text())["train"]
    told = [one, "no predicted mask", f"segdistill evaluate {evaluated} --subset"]
    refused("view", evaluated, "--case", one, told=told)


def test_a_port_that_is_taken(refused: Refused, evaluated: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused("view", evaluated, "--port", port, "--no-browser", told=[str(port), "taken", "--port"])


def test_niivue_was_not_fetched(refused: Refused, evaluated: Path, drawing: Path) -> None:
    shutil.rmtree(drawing)
    refused("view", evaluated, told=["NiiVue", "make viewer"])


def test_broken_figures(refused: Refused, evaluated: Path) -> None:
    (evaluated / "metrics.json").write_text('{"cases": [')
    refused("view", evaluated, told=["metrics.json"])


def test_a_folder_that_is_there(refused: Refused, evaluated: Path, segdistill: Callable[..., Any]) -> None:
    assert segdistill("view", evaluated, "--out", "page").code == 0
    refused("view", evaluated, "--out", "page", told=["page exists", "--overwrite"])
    refused("view", evaluated, "--out", "runs", "--overwrite", told=["runs", "left alone", "--out"])
    refused("view", evaluated, "--overwrite", told=["--out"])
    again = segdistill("view", evaluated, "--out", "page", "--overwrite")
    assert again.code == 0 and again.out == "page/index.html\n"


@pytest.mark.slow
@pytest.mark.skipif(not (page.VENDOR / page.NIIVUE).is_file(), reason="needs NiiVue: make viewer")
def test_it_serves_until_it_is_stopped(trained: Any, segdistill: Callable[..., Any]) -> None:
    assert segdistill("evaluate", "runs/teacher").code == 0
    words = [sys.executable, "-m", "segdistill", "view", "runs/teacher", "--no-browser"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        address = process.stdout.readline().strip()
        with urllib.request.urlopen(address, timeout=30) as response:
            assert b"Cases, the worst first" in response.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        said = process.stderr.read()
    assert "stopped" in said and "Traceback" not in said


def test_photographs_are_shown(
    segdistill: Callable[..., Any], train: Any, photographs: Any, drawing: Path
) -> None:
    photographs()
    words = ("data.patch_size=[8,8]", "student.type=unet")
    assert train(*words).code == 0
    (run,) = [each.parent for each in Path("runs").glob("*/run.json")]
    assert segdistill("evaluate", run).code == 0
    assert segdistill("view", run, "--out", "page").code == 0
    text = Path("page/index.html").read_text()
    assert '"flat": true' in text and '"Colours"' in text
