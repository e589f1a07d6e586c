"""One teacher's answers on disk: a folder for each case, whole or not there.

<store>/knowledge/<teacher>-<key>/
  entry.json                       what it holds, and of whom
  cases/<id>/  logits.npy  encoder_16.npy  ...  steps.json (of 8-bit logits)

Plain .npy, memory-mapped: patches are read several times faster than from blosc2 or zarr, which save about a fifth of
the disk on real answers (`benchmarks/cache_format.py`).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from segdistill.atomic import new_folder, sweep, write_json, write_synced
from segdistill.data.store import folder_name
from segdistill.errors import SegdistillError
from segdistill.teachers.cache.coding import LogitsType, Steps, decoded, in_half, in_steps

VERSION = 1
"""Of the form of an entry and of what its numbers mean; another one is another entry."""
FOLDER = "knowledge"
LOGITS = "logits"


class CannotHold(SegdistillError):
    """An answer that cannot be kept as it is."""


@dataclass(frozen=True)
class MapSpec:
    """The maps of one stage.

    Attributes:
        channels: of the stored map.
        stride: voxels of the student's grid that one voxel covers, along each axis of the stored images.
        projection: how its channels were interpolated from the teacher's width; None: they are the teacher's.
    """

    channels: int
    stride: tuple[int, ...]
    projection: str | None = None

    def size(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Voxels along each axis for an image of this shape."""
        return tuple(-(-n // step) for n, step in zip(shape, self.stride, strict=True))


@dataclass(frozen=True)
class Spec:
    """What decides the contents of an entry; whatever of it changes, the entry is another.

    Attributes:
        identity: fingerprint of the teacher: weights, code, and how it sees the images.
        images: fingerprint of the preprocessed images, whose grid the maps lie on.
        maps: by stage; `logits` always.
        logits: how logits are stored; stage maps are float16.
        asked: how the teacher goes over an image: windows, overlap, mirroring.
    """

    identity: str
    images: str
    maps: Mapping[str, MapSpec]
    logits: LogitsType = "float16"
    asked: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """16 hexadecimal digits of all of it, and of the version of the cache."""
        told = json.dumps([VERSION, asdict(self)], sort_keys=True)
        return blake2b(told.encode(), digest_size=8).hexdigest()

    def bytes_of(self, shape: tuple[int, ...]) -> int:
        """Bytes on disk of the maps of one image of this shape, but for headers."""
        total = 0
        for name, each in self.maps.items():
            width = 1 if name == LOGITS and self.logits == "uint8" else 2
            total += width * each.channels * int(np.prod(each.size(shape)))
        return total


@dataclass(frozen=True)
class Entry:
    """The answers of one teacher for the cases of one store."""

    path: Path
    spec: Spec

    @classmethod
    def at(cls, store: Path, name: str, spec: Spec) -> Entry:
        """Where the answers of a teacher lie beside the images of `store`, or would lie.

        Args:
            name: of the teacher, for people; answers that another recipe has asked for under another name are taken.
        """
        readable = re.sub(r"[^\w.+-]+", "_", name).strip("._") or "teacher"
        own = store / FOLDER / f"{readable}-{spec.key}"
        there = [own] if own.is_dir() else sorted((store / FOLDER).glob(f"*-{spec.key}"))
        return cls(next(iter(there), own), spec)

    def begin(self, name: str, source: str) -> Entry:
        """Make the folder, or go on with the one there.

        Args:
            name, source: of the teacher, for people.

        Raises:
            SegdistillError: the folder of that name holds something else.
        """
        if (self.path / "entry.json").exists():
            if Entry.open(self.path).spec.key != self.spec.key:
                raise SegdistillError(
                    f"{self.path}: entry.json does not describe what the folder's name says; remove it by "
                    "`segdistill cache prune`"
                )
        else:
            told = {"version": VERSION, "teacher": name, "source": source, **asdict(self.spec)}
            write_json(self.path / "entry.json", told)
        (self.path / "cases").mkdir(exist_ok=True)
        sweep(self.path / "cases")
        os.utime(self.path / "entry.json")  # it is in use: `cache prune --older-than` goes by that
        return self

    @classmethod
    def open(cls, path: Path) -> Entry:
        """An entry that is there.

        Raises:
            SegdistillError: it is none, damaged, or from another version of the cache.
        """
        told = described(path)
        if told.get("version") != VERSION:
            raise SegdistillError(
                f"{path} is of version {told.get('version')!r} of the knowledge cache, this one reads {VERSION}; "
                "`segdistill cache prune` removes it"
            )
        try:
            maps = {
                name: MapSpec(each["channels"], tuple(each["stride"]), each["projection"])
                for name, each in told["maps"].items()
            }
            return cls(path, Spec(told["identity"], told["images"], maps, told["logits"], told["asked"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise SegdistillError(
                f"{path}/entry.json is damaged ({error!r}); remove the folder by `segdistill cache prune`"
            ) from error

    @property
    def strides(self) -> Mapping[str, tuple[int, ...]]:
        """By stage, voxels of the stored image that one voxel covers along each of its axes."""
        return {name: each.stride for name, each in self.spec.maps.items()}

    def folder(self, case: str) -> Path:
        """Where the answers for a case lie."""
        return self.path / "cases" / folder_name(case)

    def has(self, case: str) -> bool:
        """Whether the answers for a case are there, whole."""
        return self.folder(case).is_dir()

    def add(self, case: str, maps: Mapping[str, np.ndarray]) -> None:
        """Write the answers for one case, visible only when they are whole.

        Args:
            maps: by stage (C, *size) float32.

        Raises:
            SegdistillError: a value that cannot be stored, or a disk that is full.
        """
        with new_folder(self.folder(case)) as partial:
            for name in self.spec.maps:
                try:
                    if name == LOGITS and self.spec.logits == "uint8":
                        values, steps = in_steps(maps[name])
                        told = json.dumps(steps.to_dict()).encode()
                        write_synced(partial / "steps.json", lambda file, told=told: file.write(told))  # type: ignore[misc]
                    else:
                        values = in_half(maps[name])
                except ValueError as error:
                    raise CannotHold(
                        f"case {case}: {name} of {self.path.name} {error}; such a teacher has to answer in every "
                        "step (knowledge=online)"
                    ) from error
                write_synced(partial / _file(name), lambda file, values=values: np.save(file, values))  # type: ignore[misc]

    def maps(self, case: str) -> dict[str, StoredMap]:
        """The answers for one case, read from disk only where they are touched.

        Raises:
            SegdistillError: they are not there, or damaged.
        """
        folder, found = self.folder(case), {}
        try:
            for name in self.spec.maps:
                steps = None
                if name == LOGITS and self.spec.logits == "uint8":
                    steps = Steps.from_dict(json.loads((folder / "steps.json").read_text(encoding="utf-8")))
                found[name] = StoredMap(np.load(folder / _file(name), mmap_mode="r"), steps)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise SegdistillError(
                f"{folder} is missing or damaged ({error}); remove it and run again, it is made anew"
            ) from error
        return found


@dataclass(frozen=True)
class StoredMap:
    """One stored map (C, *size), memory-mapped."""

    values: np.ndarray
    steps: Steps | None = None

    def decoded(self, piece: np.ndarray) -> np.ndarray:
        """A piece of `values` as float16."""
        return decoded(piece, self.steps)


def described(path: Path) -> dict[str, Any]:
    """What entry.json of a folder says, of whatever version.

    Raises:
        SegdistillError: there is none, or it is not readable.
    """
    try:
        told = json.loads((path / "entry.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SegdistillError(f"{path} is no entry of the knowledge cache ({error})") from error
    if not isinstance(told, dict):
        raise SegdistillError(f"{path}/entry.json holds a {type(told).__name__} where an object should be")
    return told


def _file(stage: str) -> str:
    return f"{stage.replace('/', '_')}.npy"
