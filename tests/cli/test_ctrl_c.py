"""Ctrl-C: a message instead of a traceback, exit code 130, and a run that goes on where it stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from segdistill.run import Run

Command = Callable[..., Any]
LAST = "checkpoints/last.safetensors"


@pytest.mark.slow
def test_a_training_is_stopped_and_goes_on(
    volumes: Callable[..., Path], training: Callable[..., Any], segdistill: Command, tmp_path: Path
) -> None:
    volumes()
    words = [str(word) for word in training("train.epochs=60", "data.workers=2", "--out", "runs/new")]
    process = subprocess.Popen(
        [sys.executable, "-m", "segdistill", *words],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # ignored where tests run in the background
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not (tmp_path / "runs" / "new" / LAST).exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the loading processes too
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "stopped; a run goes on with the same command and --resume"
    assert "Traceback" not in err + out
    run = Run(tmp_path / "runs" / "new")
    done = [event["epoch"] for event in run.events() if event["event"] == "epoch"]
    assert not run.finished and 0 < len(done) < 60
    assert segdistill(*words, "--resume").code == 0
    assert run.finished
    assert [event["epoch"] for event in run.events() if event["event"] == "epoch"] == list(range(60))


def test_any_command_may_be_stopped(segdistill: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from segdistill import catalogue

    def stopped(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(catalogue, "rows", stopped)
    answer = segdistill("list", "networks")
    assert answer.code == 130 and answer.err.strip() == "stopped" and not answer.out
