"""Files and folders that are either wholly written or not there: write to a temporary name, then rename."""

from __future__ import annotations

import json
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from psutil import pid_exists

from segdistill.errors import SegdistillError

PARTIAL = ".partial-"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same suffixes); rename it to `path` if the block succeeds.

    Raises:
        SegdistillError: the disk is full or the folder cannot be written; `path` is as it was before.
    """
    path = Path(path)
    temporary = path.with_name(f".{socket.gethostname()}-{os.getpid()}.partial.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise SegdistillError(
            f"{path} could not be written ({error.strerror or error}); what was there before is unchanged. "
            "Free some disk space or choose another folder, then run the command again (--resume goes on with a run)"
        ) from error
    finally:
        with suppress(OSError):  # such as a parent that is a file: the error above says it better
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, wholly or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, wholly or not at all. NaN and infinities are refused (not JSON)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`; rename it if the block succeeds. Where another process was first, its
    folder stays.

    Raises:
        SegdistillError: the disk is full or the place cannot be written.
    """
    partial = folder.parent / f"{PARTIAL}{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"
    try:
        partial.mkdir()
        yield partial
        try:
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    except OSError as error:
        raise SegdistillError(
            f"{folder} could not be written ({error.strerror or error}); finished cases are kept: "
            "free some disk space and run again"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_synced(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file and wait until it is on the disk; for files inside a `new_folder`."""
    with open(path, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def sweep(parent: Path) -> None:
    """Remove the temporary folders that killed processes of this machine left in `parent`; living ones stay."""
    for partial in parent.glob(f"{PARTIAL}{socket.gethostname()}-*"):
        if not pid_exists(int(partial.name.rsplit("-", 2)[1])):
            shutil.rmtree(partial, ignore_errors=True)
