"""A disk that fills up while a file is written: the old file is whole, and the message says so.

The limit on the size of a file stands for the end of the disk: writing fails half-way in the same manner, in Python as
in the libraries below it.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from segdistill import checkpoint
from segdistill.run import Run

Command = Callable[..., Any]
LAST = "checkpoints/last.safetensors"


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def told(answer: Any, *parts: str) -> None:
    assert answer.code == 2, answer
    line = answer.err.splitlines()[-1]
    assert line.startswith("error: ") and all(part in line for part in parts), answer.err


def no_rest(folder: Path) -> bool:
    return not [path for path in folder.rglob("*") if "partial" in path.name]


def test_the_last_good_checkpoint_stays(
    volumes: Callable[..., Path], train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes()
    replace, seen = os.replace, []

    def full(source: Any, target: Any) -> None:
        seen.append(target)
        if [str(path).endswith(LAST) for path in seen].count(True) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        answer = train("train.epochs=3", "--out", "runs/new")
    told(answer, f"runs/new/{LAST} could not be written (No space left on device)", "unchanged", "--resume")
    assert checkpoint.load(tmp_path / "runs" / "new" / LAST)[1]["training"]["epoch"] == 1
    assert no_rest(tmp_path / "runs" / "new")
    assert train("train.epochs=3", "--out", "runs/new", "--resume").code == 0
    assert train("train.epochs=3", "--out", "runs/whole").code == 0
    whole, resumed = (checkpoint.load(tmp_path / "runs" / name / LAST)[0] for name in ("whole", "new"))
    assert all((whole[name] == resumed[name]).all() for name in whole)


@pytest.mark.parametrize("size", [0, 100, 1000, 4000, 6000])
def test_training(size: int, trained: Any, segdistill: Command, tmp_path: Path) -> None:
    with room_for(size):
        answer = segdistill(*trained.words, "--out", "runs/new")
    told(
        answer,
        "File too large",
        "free some disk space" if "Free" not in answer.err else "Free some disk space",
    )
    assert no_rest(tmp_path / "runs") and not (tmp_path / "runs" / "new" / LAST).exists()
    assert segdistill(*trained.words, "--out", "runs/new", "--resume").code == 0
    assert Run(tmp_path / "runs" / "new").finished


def test_an_old_run_is_whole(trained: Any, segdistill: Command) -> None:
    assert segdistill("evaluate", trained.run).code == 0
    before = (trained.run / "metrics.json").read_bytes()
    with room_for(500):
        told(
            segdistill("evaluate", trained.run, "--no-predictions"),
            "metrics.json could not be written",
            "unchanged",
        )
        told(segdistill("report", trained.run), "runs/teacher/", "could not be written", "unchanged")
    assert (trained.run / "metrics.json").read_bytes() == before and no_rest(trained.run)


@pytest.mark.parametrize("size", [0, 100])
def test_preprocessing(size: int, volumes: Callable[..., Path], train: Command, tmp_path: Path) -> None:
    volumes()
    with room_for(size):
        told(train("--out", "runs/new"), "could not be written", "disk space")
    assert no_rest(tmp_path / "runs") and not (tmp_path / "runs" / "new").exists()
    assert train("--out", "runs/new").code == 0


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".mha", ".nrrd", ".tif"])
def test_a_mask(ending: str, trained: Any, segdistill: Command, tmp_path: Path) -> None:
    out = tmp_path / f"mask{ending}"
    assert segdistill("predict", trained.run, *trained.images(), "-o", out).code == 0
    before = out.read_bytes()
    with room_for(20):
        answer = segdistill("predict", trained.run, *trained.images(), "-o", out, "--overwrite")
    told(answer, f"mask{ending} could not be written", "unchanged")
    assert out.read_bytes() == before and no_rest(tmp_path)


def test_a_phantom(segdistill: Command, tmp_path: Path) -> None:
    with room_for(100):
        answer = segdistill("data", "phantom", "new", "--patients", 2, "--size", 12, 12, 12)
    told(answer, "new could not be written", "free some disk space")
    assert list(tmp_path.iterdir()) == []
