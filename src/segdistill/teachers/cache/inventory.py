"""What lies in knowledge caches, and what of it may go."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segdistill.errors import SegdistillError
from segdistill.teachers.cache.coding import Steps
from segdistill.teachers.cache.entry import FOLDER, LOGITS, VERSION, Entry, described


@dataclass(frozen=True)
class Shelf:
    """One folder of a knowledge cache, as it is found.

    Attributes:
        told: what its entry.json says; empty where it says nothing readable.
        problem: in words, why this version cannot use it; empty where it can.
        cases: that are whole.
        bytes: on disk.
        used: seconds since 1970 of the newest file.
        error: of 8-bit logits, the largest found in any case; None where logits are float16.
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
        """Since it was last written to."""
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
    """Take an entry away, so that no half of it can be read meanwhile."""
    gone = shelf.path.with_name(f".{shelf.path.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    shelf.path.rename(gone)
    shutil.rmtree(gone)


def _folders(root: Path) -> Iterator[Path]:
    for pattern in (f"{FOLDER}/*", f"*/{FOLDER}/*"):
        yield from (path for path in root.glob(pattern) if path.is_dir() and not path.name.startswith("."))


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
    files = [file for file in path.rglob("*") if file.is_file()]
    status = [file.stat() for file in files]
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


def _largest_error(path: Path) -> float | None:
    errors = [
        Steps.from_dict(json.loads(file.read_text(encoding="utf-8"))).error
        for file in path.glob("cases/*/steps.json")
    ]
    return max(errors, default=None)
