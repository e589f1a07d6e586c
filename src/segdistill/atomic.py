"""Files that are either wholly written or not there: write to a temporary name, then rename."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from segdistill.errors import SegdistillError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same suffixes); rename it to `path` if the block succeeds.

    Raises:
        SegdistillError: the disk is full or the folder cannot be written; `path` is as it was before.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.partial.{path.name}")
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
