"""Many processes: the results and errors of one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from segdistill.data.workers import in_processes
from segdistill.errors import SegdistillError


def process_of(item: int) -> tuple[int, int]:
    return item, os.getpid()


def fail_at_three(item: int) -> int:
    if item == 3:
        raise SegdistillError("item 3 is bad")
    return item


def die(item: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_results_come_in_order_from_other_processes() -> None:
    got = in_processes(process_of, list(range(6)), workers=2, description="Testing")
    assert [item for item, _ in got] == list(range(6))
    assert os.getpid() not in {process for _, process in got}
    assert in_processes(process_of, [1, 2], workers=1, description="Testing") == [
        (1, os.getpid()),
        (2, os.getpid()),
    ]
    assert in_processes(process_of, [], workers=2, description="Testing") == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_worker_reaches_the_user(workers: int) -> None:
    with pytest.raises(SegdistillError, match="item 3 is bad"):
        in_processes(fail_at_three, list(range(6)), workers=workers, description="Testing")


def test_a_killed_worker_is_said() -> None:
    with pytest.raises(SegdistillError, match="fewer workers than 2"):
        in_processes(die, [1, 2], workers=2, description="Testing")


def test_no_worker_is_said() -> None:
    with pytest.raises(SegdistillError, match="workers: 0"):
        in_processes(process_of, [1], workers=0, description="Testing")


SCRIPT = """
import time
from segdistill.data.workers import in_processes
print("the script runs")
{call}
"""


def test_a_script_without_guard_runs_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(call="print(in_processes(abs, [-1, -2], workers=2, description='x'))"))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == "the script runs\n[1, 2]\n" and done.stderr == ""


def test_workers_end_with_their_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(call="in_processes(time.sleep, [60, 60], workers=2, description='x')"))
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.DEVNULL)
    children = _wait_for_children(parent.pid)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while any(_running(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert children and not any(_running(child) for child in children)


def _wait_for_children(parent: int) -> list[int]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        children = [p for p in psutil.Process(parent).children() if "spawn_main" in " ".join(p.cmdline())]
        if len(children) == 2 and all(child.num_threads() > 1 for child in children):
            return [child.pid for child in children]
        time.sleep(0.1)
    return []


def _running(process: int) -> bool:
    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE
