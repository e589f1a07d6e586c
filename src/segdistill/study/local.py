"""Run a study on this machine: one run after another, or several at once, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from segdistill.atomic import write_text
from segdistill.errors import SegdistillError
from segdistill.study.expansion import Planned
from segdistill.study.folder import Status, StudyFolder, ready

LOOK = 1.0
"""Seconds between two looks at the processes."""
PATIENCE = 20
"""Seconds that a process has to end when it was asked to."""
KEPT = 8000
"""Characters of what a failed run said that are kept with it."""


class Job(Protocol):
    """One run at work somewhere."""

    def poll(self) -> int | None:
        """Its exit code; None while it is at work."""

    def stop(self) -> None:
        """End it; it goes on later where it was."""


Start = Callable[[StudyFolder, Planned, int], Job]
"""Starts a run; how many go on at once is told."""


@dataclass(frozen=True)
class LocalJob:
    """A run in a process of this machine."""

    process: subprocess.Popen[bytes]

    def poll(self) -> int | None:
        return self.process.poll()

    def stop(self) -> None:
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


def command(folder: StudyFolder, name: str) -> list[str]:
    """The words that perform one run of a study."""
    return [sys.executable, "-m", "segdistill", "study", "perform", str(folder.path), name]


def start_here(folder: StudyFolder, planned: Planned, jobs: int) -> Job:
    """Start a run in a process of its own, with its share of the cores; what it says goes to logs/NAME.log."""
    log = folder.file(f"logs/{planned.name}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    threads = {} if jobs == 1 else {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))}
    with open(log, "ab") as out:
        process = subprocess.Popen(
            command(folder, planned.name),
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **threads},
            start_new_session=True,  # Ctrl-C is passed on by us, once
        )
    return LocalJob(process)


def run_all(
    folder: StudyFolder,
    *,
    jobs: int | None = 1,
    retry: bool = False,
    start: Start = start_here,
    look: Callable[[Mapping[str, Status]], None] = lambda _: None,
) -> None:
    """Start runs as soon as their teachers are done, until none is left that could be started.

    Runs that failed before are left alone; those that fail now do not stop the others.

    Args:
        jobs: how many at once; None: all whose teachers are done, for a cluster that has a queue of its own.
        retry: start those again that failed before.
        start: how one is started.
        look: is told now and then how far all runs are, for a progress bar.

    Raises:
        SegdistillError: less than one job, or another process runs this study.
    """
    at_once = len(folder.planned) if jobs is None else jobs
    if at_once < 1:
        raise SegdistillError(f"--jobs: one at least, got {at_once}")
    with folder.locked():
        folder.make_data()
        if retry:
            for file in folder.file("failed").glob("*.txt"):
                file.unlink()
        working: dict[str, Job] = {}
        before = signal.signal(signal.SIGTERM, _as_interrupt)
        try:
            while True:
                for name, job in list(working.items()):
                    if (code := job.poll()) is not None:
                        del working[name]
                        _settle(folder, name, code)
                statuses = folder.statuses()
                waiting = [one for one in ready(folder.planned, statuses) if one.name not in working]
                for planned in waiting[: at_once - len(working)]:
                    working[planned.name] = start(folder, planned, at_once)
                look(statuses)
                # A run that a killed study left behind may still be at work: its students wait for it.
                if not working and "running" not in statuses.values():
                    return
                time.sleep(LOOK)
        finally:
            signal.signal(signal.SIGTERM, before)
            for job in working.values():
                job.stop()


def _as_interrupt(*_: object) -> None:
    """What was started is to be stopped, too, when this process is told to end."""
    raise KeyboardInterrupt


def _settle(folder: StudyFolder, name: str, code: int) -> None:
    """Remember of a run that failed how it ended, where it could not say so itself: killed, or out of memory."""
    failed = folder.file(f"failed/{name}.txt")
    if (code == 0 and folder.status(folder.one(name)) == "done") or failed.is_file():
        return
    log = folder.file(f"logs/{name}.log")
    said = log.read_text(encoding="utf-8", errors="replace")[-KEPT:].rstrip() if log.is_file() else ""
    last = f"; its last words: {said.splitlines()[-1].strip()}" if said else ""
    write_text(failed, f"{said}\n{_end(code)}{last}\n".lstrip())


def _end(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"ended by {name}" + (" (often for want of memory)" if name == "SIGKILL" else "")
