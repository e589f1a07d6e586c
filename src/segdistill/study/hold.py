"""Files that a process holds while it is at work, so that others can see that it is."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TRIES, PAUSE = 20, 0.05
"""Somebody who only looks holds the file for a moment."""


@contextmanager
def holding(file: Path) -> Iterator[bool]:
    """Hold a file while in the block, if nobody else does; whether it is held."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "w") as opened:
        for attempt in range(TRIES):
            try:
                fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if attempt + 1 == TRIES:
                    yield False
                    return
                time.sleep(PAUSE)
        yield True


def held(file: Path) -> bool:
    """Whether another process holds a file."""
    try:
        with open(file, "rb") as opened:
            fcntl.lockf(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
