"""Looking through a whole dataset, case by case, without stopping at the first fault."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segdistill.data import LAYOUTS, dataset_folder, find_layout
from segdistill.data.dataset import Case, Dataset
from segdistill.data.finding import Finding
from segdistill.data.geometry import Geometry
from segdistill.data.image import read_image, read_label_values, suffix
from segdistill.data.photograph import turned
from segdistill.data.values import whole_numbers
from segdistill.errors import SegdistillError
from segdistill.progress import track

__all__ = ["Finding", "check"]


@dataclass
class Seen:
    """What was learnt of one case: findings, and what is compared between cases."""

    findings: list[Finding] = field(default_factory=list)
    digest: bytes | None = None
    present: set[str] = field(default_factory=set)


def check(path: Path | str, layout: str | None = None) -> list[Finding]:
    """All that is wrong or odd about the dataset in `path`, in the order of its cases; [] where nothing is.

    Looks for missing and unreadable files, NaN, geometry that differs between channels or label, undeclared
    values, empty labels, images without contrast, classes that no label holds, and identical images.
    """
    try:
        folder = dataset_folder(path)
        scan = LAYOUTS[find_layout(folder, layout)].scan(folder)
    except SegdistillError as error:
        return [Finding("error", None, Path(path), str(error))]
    dataset, known = scan.dataset, {(f.case, f.file) for f in scan.findings}
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        results = pool.map(lambda case: look(case, dataset), dataset.cases)
        seen = list(track(results, "Checking", total=len(dataset.cases)))
    findings = list(scan.findings)
    for one in seen:
        findings += [finding for finding in one.findings if (finding.case, finding.file) not in known]
    findings += _identical(dataset, seen)
    findings += _never_seen(dataset, seen)
    return findings


def look(case: Case, dataset: Dataset) -> Seen:
    """Everything that can be said about one case alone."""
    seen = Seen()
    grid = _look_at_images(case, dataset, seen)
    if case.label is not None:
        _look_at_label(case, case.label, dataset, grid, seen)
    return seen


def _look_at_images(case: Case, dataset: Dataset, seen: Seen) -> tuple[Path, Geometry] | None:
    grid: tuple[Path, Geometry] | None = None
    digest, channels = hashlib.blake2b(), 0
    for path in case.images:
        try:
            image, geometry = read_image([path])
        except SegdistillError as error:
            seen.findings.append(Finding("error", case.id, path, str(error)))
            continue
        if suffix(path) in (".jpg", ".jpeg") and turned(path):
            message = f"{path} is shown turned by viewers (EXIF), and read as stored: see that its mask fits"
            seen.findings.append(Finding("warning", case.id, path, message))
        channels += len(image)
        digest.update(image.tobytes())
        for channel in image:
            if channel.min() == channel.max():
                message = f"{path} has the same value ({channel.min():g}) in all voxels"
                seen.findings.append(Finding("warning", case.id, path, message))
        if grid is None:
            grid = path, geometry
        elif not geometry.same_grid(grid[1]):
            seen.findings.append(Finding("error", case.id, path, _off_grid(path, geometry, *grid)))
        if len(geometry.shape) != dataset.spatial_dims:
            message = f"{path} has {len(geometry.shape)} axes in space, other images {dataset.spatial_dims}"
            seen.findings.append(Finding("error", case.id, path, message))
    if not seen.findings or all(finding.severity != "error" for finding in seen.findings):
        seen.digest = digest.digest()
        if channels != len(dataset.channels):
            message = (
                f"{case.images[0]} holds {channels} channels; the dataset has {len(dataset.channels)} "
                f"({', '.join(dataset.channels)})"
            )
            seen.findings.append(Finding("error", case.id, case.images[0], message))
    return grid


def _look_at_label(
    case: Case, path: Path, dataset: Dataset, grid: tuple[Path, Geometry] | None, seen: Seen
) -> None:
    try:
        values, geometry = read_label_values(path)
        label = whole_numbers(values, path)
    except SegdistillError as error:
        seen.findings.append(Finding("error", case.id, path, str(error)))
        return
    if values.dtype.kind == "f" and (values != label).any():
        message = (
            f"{path} holds values next to whole numbers, such as {values[values != label][0]:.6g}; rounded"
        )
        seen.findings.append(Finding("note", case.id, path, message))
    if grid is not None and not geometry.same_grid(grid[1]):
        seen.findings.append(Finding("error", case.id, path, _off_grid(path, geometry, *grid)))
    try:
        encoded = dataset.encode(label)
    except SegdistillError as error:
        seen.findings.append(Finding("error", case.id, path, f"{path}: {error}"))
        return
    if dataset.regions:
        seen.present = {
            name for name, region in zip(dataset.classes, encoded, strict=True) if (region == 1).any()
        }
    else:
        counts = np.bincount(encoded[encoded > 0], minlength=len(dataset.classes) + 1)
        seen.present = {name for name, count in zip(dataset.classes, counts[1:], strict=True) if count}
    if (encoded == -1).all():
        seen.findings.append(
            Finding("warning", case.id, path, f"{path} is ignore everywhere; it teaches nothing")
        )
    elif not seen.present:
        seen.findings.append(Finding("warning", case.id, path, f"{path} is empty: background everywhere"))


def _off_grid(path: Path, geometry: Geometry, first: Path, grid: Geometry) -> str:
    return f"{path} is on another grid ({geometry.describe()}) than {first.name} ({grid.describe()})"


def _identical(dataset: Dataset, seen: Iterable[Seen]) -> list[Finding]:
    groups: dict[bytes, list[Case]] = defaultdict(list)
    for case, one in zip(dataset.cases, seen, strict=True):
        if one.digest is not None:
            groups[one.digest].append(case)
    findings = []
    for group in groups.values():
        first, *others = group
        for case in others:
            if case.subset != first.subset:
                where = f"{first.subset or 'training'} and {case.subset or 'training'}"
                message = f"{case.images[0]} is the same image as {first.images[0]}: one image is in {where}"
                findings.append(Finding("error", case.id, case.images[0], f"{message}; remove one"))
            else:
                message = f"{case.images[0]} is the same image as {first.images[0]}"
                advice = "remove one, or join them with data.splits.group so that a split keeps them together"
                findings.append(Finding("warning", case.id, case.images[0], f"{message}; {advice}"))
    return findings


def _never_seen(dataset: Dataset, seen: Iterable[Seen]) -> list[Finding]:
    present = set().union(*(one.present for one in seen))
    return [
        Finding("warning", None, dataset.path, f"no label holds {name}, which {dataset.path} declares")
        for name in dataset.classes
        if name not in present
    ]
