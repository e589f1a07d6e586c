"""Preprocessed cases on disk, memory-mapped: finished ones are whole, unfinished ones are not there.

<name>-<fingerprint>/
  store.json  plan.json
  cases/<id>/  image.npy  label.npy  foreground.npy  grid.json
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from segdistill.atomic import new_folder, sweep, write_json, write_synced, write_text
from segdistill.data.grid import Grid
from segdistill.data.plan import FORMAT, Plan
from segdistill.errors import SegdistillError


@dataclass(frozen=True)
class StoredCase:
    """One preprocessed case, read from disk only where it is touched.

    image: (C, *space) float32.
    label: (L, *space) int16, -1 ignored; None without label.
    foreground: (n, 1 + d) int32 rows (class index from 1, voxel index): a random few thousand of each class.
    """

    id: str
    image: np.ndarray
    label: np.ndarray | None
    foreground: np.ndarray
    grid: Grid


@dataclass(frozen=True)
class Store:
    """Preprocessed cases of one dataset by one plan."""

    path: Path
    plan: Plan
    ids: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """What names the contents: files, plan and format."""
        return self.path.name.rpartition("-")[2]

    @classmethod
    def create(cls, path: Path, plan: Plan, ids: tuple[str, ...]) -> Store:
        """Begin a store, or go on with the one there; the folder's name vouches that it is the same."""
        write_text(path / "plan.json", plan.to_json())
        write_json(path / "store.json", {"format": FORMAT, "ids": list(ids)})
        store = cls(path, plan, ids)
        (path / "cases").mkdir(exist_ok=True)
        sweep(path / "cases")
        return store

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open what `create` began."""
        path = Path(path)
        try:
            index = json.loads((path / "store.json").read_text(encoding="utf-8"))
            plan = Plan.from_json((path / "plan.json").read_text(encoding="utf-8"), str(path / "plan.json"))
            return cls(path, plan, tuple(index["ids"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SegdistillError(
                f"{path} is not a folder of preprocessed cases ({error}); preprocess again"
            ) from error

    def folder(self, id: str) -> Path:
        """Where a case lies."""
        return self.path / "cases" / folder_name(id)

    def has(self, id: str) -> bool:
        """Whether the case is finished."""
        return self.folder(id).is_dir()

    def case(self, id: str) -> StoredCase:
        """Open one finished case."""
        folder = self.folder(id)
        if id not in self.ids or not folder.is_dir():
            raise SegdistillError(
                f"{self.path} has no preprocessed case {id!r}; preprocess the dataset again"
            )
        try:
            label = folder / "label.npy"
            return StoredCase(
                id=id,
                image=np.load(folder / "image.npy", mmap_mode="r"),
                label=np.load(label, mmap_mode="r") if label.exists() else None,
                foreground=np.load(folder / "foreground.npy"),
                grid=Grid.from_dict(json.loads((folder / "grid.json").read_text(encoding="utf-8"))),
            )
        except (OSError, ValueError, TypeError) as error:
            raise SegdistillError(f"{folder} is damaged ({error}); delete it and preprocess again") from error

    def add(
        self, id: str, image: np.ndarray, label: np.ndarray | None, foreground: np.ndarray, grid: Grid
    ) -> None:
        """Write one case, visible only when it is whole. If another process was first, its case stays."""
        with new_folder(self.folder(id)) as partial:
            write_synced(partial / "image.npy", lambda file: np.save(file, image))
            if label is not None:
                write_synced(partial / "label.npy", lambda file: np.save(file, label))
            write_synced(partial / "foreground.npy", lambda file: np.save(file, foreground))
            write_synced(partial / "grid.json", lambda file: file.write(json.dumps(grid.to_dict()).encode()))


def folder_name(id: str) -> str:
    """A case's name as that of a folder. Letters stay readable; what a file name cannot hold is escaped."""
    name = "".join(letter if letter not in '/\\:*?"<>|%' else quote(letter, safe="") for letter in id)
    return f"%2E{name[1:]}" if name.startswith(".") else name
