"""Filling an entry: each case is asked about once, by whatever processes, however they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from segdistill.errors import SegdistillError
from segdistill.teachers.cache.build import build
from segdistill.teachers.cache.entry import Entry

Answers = Callable[[str], Any]
CASES = ["a", "b", "c", "d"]


def test_each_case_is_asked_about_once(entry: Entry, answer: Answers) -> None:
    asked: list[str] = []

    def ask(case: str) -> Any:
        asked.append(case)
        return answer(case)

    assert build(entry, ask, CASES[:2], title="Asking") == 2
    assert build(entry, ask, CASES, title="Asking") == 2
    assert build(entry, ask, CASES, title="Asking") == 0
    assert asked == CASES and all(map(entry.has, CASES))
    assert sorted(path.name for path in (entry.path / "cases").iterdir()) == CASES, "no lock stays"


def test_a_teacher_that_cannot_answer_is_named_with_the_case(entry: Entry, answer: Answers) -> None:
    def ask(case: str) -> Any:
        if case == "b":
            raise SegdistillError("the image is too large")
        return answer(case)

    with pytest.raises(SegdistillError, match=r"^Asking big, case b: the image is too large$"):
        build(entry, ask, CASES, title="Asking big")
    assert entry.has("a") and not entry.has("b")
    assert build(entry, answer, CASES, title="Asking big") == 3


def test_answers_that_are_not_what_was_looked_at(entry: Entry, answer: Answers) -> None:
    def lacks(case: str) -> Any:
        return {"logits": answer(case)["logits"]}

    def wider(case: str) -> Any:
        return answer(case) | {"logits": torch.zeros(5, 5, 6, 4)}

    with pytest.raises(SegdistillError, match=r"case a: .*nothing at encoder/4/stage.* had 3 channels"):
        build(entry, lacks, CASES, title="Asking")
    with pytest.raises(SegdistillError, match=r"case a: .*5 channels at logits.* had 2 channels"):
        build(entry, wider, CASES, title="Asking")
    assert not entry.has("a")


def test_a_stop_lets_go_of_the_case(entry: Entry, answer: Answers) -> None:
    def stopped(case: str) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(entry, stopped, CASES, title="Asking")
    assert build(entry, answer, CASES, title="Asking") == 4


SCRIPT = """
import sys, time
from pathlib import Path
import numpy as np
from segdistill.teachers.cache.build import build
from segdistill.teachers.cache.entry import Entry

path, log, pause = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
entry = Entry.open(path).begin("big one", "")

def ask(case):
    with log.open("a") as file:
        file.write(case + "\\n")
    time.sleep(pause)
    return {name: np.full((each.channels, *each.size((5, 6, 4))), ord(case), np.float32)
            for name, each in entry.spec.maps.items()}

build(entry, ask, list("abcdefgh"), title="Asking")
"""


def started(entry: Entry, log: Path, pause: float) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", SCRIPT, entry.path, log, str(pause)], env=environment)


def lines(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


@pytest.mark.slow
def test_two_processes_share_the_cases(entry: Entry, tmp_path: Path) -> None:
    logs = [tmp_path / "one", tmp_path / "two"]
    both = [started(entry, log, 0.3) for log in logs]
    assert [each.wait(60) for each in both] == [0, 0]
    assert sorted(lines(logs[0]) + lines(logs[1])) == list("abcdefgh"), "each case once in all"
    assert sorted(path.name for path in (entry.path / "cases").iterdir()) == list("abcdefgh")


@pytest.mark.slow
def test_sigkill_leaves_no_half_case_and_the_next_goes_on(entry: Entry, tmp_path: Path) -> None:
    log = tmp_path / "log"
    killed = started(entry, log, 0.4)
    deadline = time.monotonic() + 60
    while len(lines(log)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    done = [case for case in "abcdefgh" if entry.has(case)]
    assert done == ["a", "b"]
    assert all(entry.maps(case) for case in done)
    second = tmp_path / "second"
    assert started(entry, second, 0.0).wait(60) == 0
    assert sorted(lines(second)) == list("cdefgh"), "what was there is not asked again"
    assert sorted(path.name for path in (entry.path / "cases").iterdir()) == list("abcdefgh")
    for case in "abcdefgh":
        assert (entry.maps(case)["logits"].values == ord(case)).all()


@pytest.mark.slow
def test_one_waits_for_what_another_has_at_hand(entry: Entry, tmp_path: Path) -> None:
    """When `build` returns every case is there, also those that another process was asking about."""
    slow, log = started(entry, tmp_path / "slow", 1.0), tmp_path / "slow"
    deadline = time.monotonic() + 60
    while not lines(log) and time.monotonic() < deadline:
        time.sleep(0.02)
    quick = started(entry, tmp_path / "quick", 0.0)
    assert quick.wait(60) == 0
    assert all(entry.has(case) for case in "abcdefgh")
    assert slow.wait(60) == 0
    assert sorted(lines(log) + lines(tmp_path / "quick")) == list("abcdefgh")
