"""Freed memory kept for the next step."""

from __future__ import annotations

import ctypes
import platform

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # of glibc's malloc.h
NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process reuse what a step frees, instead of asking the system for it anew in the next; whether it does.

    glibc gives tensors of more than 32 MB back at once, and the system clears each page again when it is next touched:
    up to a third of a light student's step on a CPU. The memory is given back when the process ends.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(MMAP_MAX, 0)) and bool(libc.mallopt(TRIM_THRESHOLD, NEVER))
