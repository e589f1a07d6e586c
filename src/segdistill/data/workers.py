"""One function over many items in several processes, with the same results and errors as in one."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import TypeVar

from segdistill.errors import SegdistillError
from segdistill.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int, description: str
) -> list[Result]:
    """`[function(item) for item in items]` by `workers` fresh processes (1: in this one), with progress.

    `function` and the items are pickled. The first exception stops what has not begun and is raised.

    Raises:
        SegdistillError: a process was killed, most often because memory ran out.
    """
    if workers < 1:
        raise SegdistillError(f"workers: {workers} must be at least 1")
    if workers == 1 or len(items) < 2:
        return [function(item) for item in track(items, description, total=len(items))]
    pool = ProcessPoolExecutor(min(workers, len(items)), get_context("spawn"), initializer=_begin)
    try:
        with _plain_children():
            futures = [pool.submit(function, item) for item in items]
        for future in track(as_completed(futures), description, total=len(futures)):
            future.result()
        return [future.result() for future in futures]
    except BrokenProcessPool as error:
        raise SegdistillError(
            f"{description}: a worker process was killed, probably for want of memory; "
            f"run again with fewer workers than {workers} (what is finished is kept)"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """Leave Ctrl-C to the parent, and end with it: a killed parent must not leave workers behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


@contextmanager
def _plain_children() -> Iterator[None]:
    """Processes started here use one thread each and do not run the caller's script again.

    A spawned process imports `__main__`; for a script without the `if __name__ == "__main__"` guard that
    would repeat the whole script. Our functions need nothing of it: an empty module stands in meanwhile.
    """
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    before = {name: os.environ.get(name) for name in one}
    script = sys.modules["__main__"]
    os.environ.update(one)
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
