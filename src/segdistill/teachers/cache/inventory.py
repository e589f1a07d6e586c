"""What lies in knowledge caches, and what of it may go."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segdistill.errors import SegdistillError
from segdistill.teachers.cache.coding import Steps
from segdistill.teachers.cache.entry import FOLDER, LOGITS, VERSION, Entry, described

ENTRY = re.compile(r"[^.].*-[0-9a-f]{16}")
GONE = re.compile(r"\..+-[0-9a-f]{16}-[0-9a-f]{32}\.gone")


@dataclass(frozen=True)
class Shelf:
    """One folder of a knowledge cache, as it is found.

    Attributes:
        told: what its entry.json says; empty where it says nothing readable.
        problem: in words, why this version cannot use it; empty where it can.
        cases: that are whole.
        bytes: on disk.
        used: seconds since 1970 of the newest file.
        error: of 8-bit logits, the largest in any case; None where logits are float16, or no case says so.
    """

    path: Path
    told: dict[str, Any]
    problem: str
    cases: int
    bytes: int
    used: float
    error: float | None

    @property
    def store(self) -> Path:
        """The preprocessed images that it belongs to."""
        return self.path.parents[1]

    @property
    def days(self) -> float:
        """Since it was last written to, or a run began to use it."""
        return (time.time() - self.used) / 86400


def shelves(root: Path) -> list[Shelf]:
    """All entries below a folder: a store of preprocessed images, or the folder that holds several.

    Raises:
        SegdistillError: there is no such folder.
    """
    if not root.is_dir():
        raise SegdistillError(
            f"{root}: no such folder; name the one with the preprocessed images (data.store, else $SEGDISTILL_STORE, "
            "else runs/preprocessed)"
        )
    return [_shelf(path) for path in sorted(_folders(root))]


def remove(shelf: Shelf) -> None:
    """Take an entry away, so that no half of it can be read meanwhile; also what an interrupted removal has left."""
    shelf.path.rename(shelf.path.with_name(f".{shelf.path.name}-{uuid.uuid4().hex}.gone"))
    for gone in shelf.path.parent.iterdir():
        if GONE.fullmatch(gone.name):
            shutil.rmtree(gone, ignore_errors=True)


def _folders(root: Path) -> Iterator[Path]:
    """What is an entry by its name, beside preprocessed images; whatever else a user keeps is none of ours."""
    for pattern in (f"{FOLDER}/*", f"*/{FOLDER}/*"):
        for path in root.glob(pattern):
            ours = ENTRY.fullmatch(path.name) and (path.parents[1] / "store.json").is_file()
            if ours and path.is_dir() and not path.is_symlink():
                yield path


def _shelf(path: Path) -> Shelf:
    told: dict[str, Any] = {}
    problem, error = "", None
    try:
        told = described(path)
        entry = Entry.open(path)
        if path.name.rpartition("-")[2] != entry.spec.key:
            problem = "entry.json does not describe what the folder's name says"
        if entry.spec.logits == "uint8" and LOGITS in entry.spec.maps:
            error = _largest_error(path)
    except SegdistillError as said:
        version = told.get("version")
        problem = f"version {version} of the cache" if told and version != VERSION else str(said)
    status = list(_files(path))
    cases = path / "cases"
    whole = (
        [one for one in cases.iterdir() if one.is_dir() and not one.name.startswith(".")]
        if cases.is_dir()
        else []
    )
    return Shelf(
        path,
        told,
        problem,
        len(whole),
        sum(one.st_size for one in status),
        max((one.st_mtime for one in status), default=path.stat().st_mtime),
        error,
    )


def _files(path: Path) -> Iterator[os.stat_result]:
    """Of all files below a folder, but for those that another process takes away meanwhile."""
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                yield (Path(folder) / name).stat()


def _largest_error(path: Path) -> float | None:
    """Of all cases.

    Raises:
        SegdistillError: a case does not say it.
    """
    errors = []
    for file in path.glob("cases/*/steps.json"):
        try:
            errors.append(Steps.from_dict(json.loads(file.read_text(encoding="utf-8"))).error)
        except FileNotFoundError:  # another process has taken it away meanwhile
            continue
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SegdistillError(f"{file} is damaged ({error!r})") from error
    return max(errors, default=None)
