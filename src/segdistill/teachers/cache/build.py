"""Fill an entry: ask the teacher about each case that is not there yet, together with other processes."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from torch import Tensor

from segdistill.errors import SegdistillError
from segdistill.progress import track
from segdistill.teachers.cache.entry import Entry

Asked = Callable[[str], Mapping[str, Tensor]]
"""What a teacher says about a case, on the student's grid: by stage (C, *size) float32."""


def build(entry: Entry, ask: Asked, cases: Sequence[str], *, title: str) -> int:
    """Ask about every case that the entry lacks; returns how many were asked here.

    Several processes may do this at once: each takes a case that no other has at hand, and in the end waits for what
    others have begun. One that is killed lets go of its case, which another then asks again; half a case is never seen.

    Args:
        ask: what the teacher says about a case.
        title: of the progress bar.

    Raises:
        SegdistillError: as `ask` says it, with the name of the case; a disk that is full.
    """
    missing = [case for case in cases if not entry.has(case)]
    asked = 0
    for case in track(_free_first(entry, missing), title, total=len(missing)):
        with _claimed(entry, case, wait=True):
            if entry.has(case):  # by another process in the meantime
                continue
            try:
                said = {name: np.asarray(each) for name, each in ask(case).items()}
            except SegdistillError as error:
                raise SegdistillError(f"{title}, case {case}: {error}") from error
            _fits(entry, case, said)
            entry.add(case, said)
            asked += 1
    if gone := [case for case in cases if not entry.has(case)]:
        raise SegdistillError(f"{entry.path}: answers about {gone[0]} were taken away meanwhile; run again")
    return asked


def _free_first(entry: Entry, cases: Sequence[str]) -> Iterator[str]:
    """The cases, those that another process has at hand last."""
    busy = []
    for case in cases:
        with _claimed(entry, case, wait=False) as free:
            pass
        if not free:
            busy.append(case)
        else:
            yield case
    yield from busy


@contextmanager
def _claimed(entry: Entry, case: str, *, wait: bool) -> Iterator[bool]:
    """Hold the lock of a case; the system lets go of it when the process ends, however it does."""
    lock: Path = entry.path / "cases" / f".lock-{entry.folder(case).name}"
    try:
        opened = open(lock, "a")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise SegdistillError(
            f"{entry.path} cannot be written ({error.strerror or error}); was it removed meanwhile? Run again"
        ) from error
    with opened as file:
        try:
            # A record lock, which a child such as a loader of patches does not inherit.
            fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
        if entry.has(case):
            lock.unlink(missing_ok=True)


def _fits(entry: Entry, case: str, said: Mapping[str, np.ndarray]) -> None:
    for name, each in entry.spec.maps.items():
        if name not in said or said[name].shape[0] != each.channels:
            there = "nothing" if name not in said else f"{said[name].shape[0]} channels"
            raise SegdistillError(
                f"case {case}: the teacher answers with {there} at {name}, where it had {each.channels} channels"
            )
