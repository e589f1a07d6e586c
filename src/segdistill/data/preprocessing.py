"""From files to arrays on the network's grid: one case, or a whole dataset once and for all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from pathlib import Path

import numpy as np

from segdistill.data.case_files import read_channels, read_classes
from segdistill.data.dataset import Case, Dataset
from segdistill.data.fingerprint import fingerprint
from segdistill.data.geometry import Geometry
from segdistill.data.grid import Grid, label_to_grid, to_grid
from segdistill.data.intensity import Masked
from segdistill.data.plan import Plan
from segdistill.data.store import Store
from segdistill.data.workers import in_processes
from segdistill.errors import SegdistillError

FOREGROUND_A_CLASS = 5000


def preprocess_case(
    images: Sequence[Path], label: Path | None, plan: Plan
) -> tuple[np.ndarray, np.ndarray | None, Grid]:
    """Read, orient, resample, crop, and change intensities last: what is clipped stays within its bounds.

    Where an intensity counts only voxels that are not 0, those are found before a spline rings around them.

    Returns:
        image (C, *space) float32, 0 where padded; label (L, *space) int16 or None; the grid that leads back.

    Raises:
        SegdistillError: files that cannot be read or do not fit each other or the plan.
    """
    names = [channel.name for channel in plan.channels]
    raw, geometry = read_channels(images, names, among=plan.dataset.channels)
    image, grid = prepared(raw, geometry, plan)
    if label is None:
        return image, None, grid
    classes = read_classes(label, plan.dataset, images[0], geometry)
    return image, label_to_grid(classes, grid, plan.label_interpolation), grid


def prepared(raw: np.ndarray, geometry: Geometry, plan: Plan) -> tuple[np.ndarray, Grid]:
    """The part of `preprocess_case` that begins with the plan's channels as they were read, (C, *original)."""
    grid = plan.grid(geometry)
    image = to_grid(raw, grid, plan.interpolation)
    for channel, before, values in zip(plan.channels, raw, image, strict=True):
        part, inside = channel.intensity, values[grid.inside]
        if plan.mask_first and isinstance(part, Masked) and part.masks:
            nearest = to_grid(before[None], grid, "nearest")[0][grid.inside]
            values[grid.inside] = part.within(inside, nearest)
        else:
            values[grid.inside] = part(inside, channel.statistics)
    return image, grid


def preprocess(dataset: Dataset, plan: Plan, root: Path, *, workers: int = 1) -> Store:
    """Preprocess every case into `root`/<name>-<fingerprint>/, or go on where an earlier run ended.

    Finished cases are never redone; several runs may work on the same store at once.

    Raises:
        SegdistillError: a case that cannot be preprocessed (named), a full disk, a killed worker.
    """
    root = Path(root)
    name = re.sub(r"[^\w.+-]+", "_", dataset.name).strip(".") or "dataset"
    path = root / f"{name}-{fingerprint(dataset, plan, root)}"
    store = Store.create(path, plan, tuple(case.id for case in dataset.cases))
    todo = [case for case in dataset.cases if not store.has(case.id)]
    in_processes(
        partial(_store_case, store=replace(store, ids=())), todo, workers=workers, description="Preprocessing"
    )
    return store


def foreground_voxels(label: np.ndarray, seed: int) -> np.ndarray:
    """(n, 1 + d) int32 rows (class index from 1, voxel index), at most FOREGROUND_A_CLASS of each class.

    `label` is (L, *space): class indices where L = 1; else channel c is class c + 1. One channel of 0 and 1
    reads the same either way.
    """
    rng = np.random.default_rng(seed)
    rows = [np.empty((0, label.ndim), np.int32)]
    for c, channel in enumerate(label):
        for value in np.unique(channel[channel > 0]):
            flat = np.flatnonzero(channel == value)
            if len(flat) > FOREGROUND_A_CLASS:
                flat = np.sort(rng.choice(flat, FOREGROUND_A_CLASS, replace=False))
            index = np.full(len(flat), value if len(label) == 1 else c + 1)
            rows.append(np.stack([index, *np.unravel_index(flat, channel.shape)], axis=1).astype(np.int32))
    return np.concatenate(rows)


def _store_case(case: Case, store: Store) -> None:
    if store.has(case.id):  # by another process in the meantime
        return
    try:
        image, label, grid = preprocess_case(case.images, case.label, store.plan)
        seed = int.from_bytes(blake2b(case.id.encode(), digest_size=8).digest())
        none = np.empty((0, image.ndim), np.int32)
        store.add(case.id, image, label, none if label is None else foreground_voxels(label, seed), grid)
    except SegdistillError as error:
        raise SegdistillError(f"case {case.id}: {error}") from error
