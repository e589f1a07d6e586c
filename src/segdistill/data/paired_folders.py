"""Paired folders: images/ beside labels/ (or masks/), a mask for each image, no list needed.

`train/`, `val/`, `test/` subfolders, outside (train/images) or inside (images/train), become subsets. A mask
has the name of its image, or that name and `_mask`, `_label`, `_seg`, ...; the endings may differ. Classes
are the values of the masks: 0 and 255 (or 1) are one class, `foreground`; more values are `class_<value>`.
A dataset.json with `labels` beside the folders gives them names and saves reading all masks.
"""

from __future__ import annotations

import re
from pathlib import Path

from segdistill.data import dataset_json, mask_values
from segdistill.data.dataset import Case, Dataset
from segdistill.data.dataset_json import Labels
from segdistill.data.finding import Finding
from segdistill.data.image import read_header, stem
from segdistill.data.scan import Scan, assemble, image_files
from segdistill.errors import SegdistillError

LAYOUT = "paired_folders"
IMAGES = ("images", "image", "imgs")
LABELS = ("labels", "masks", "label", "mask", "annotations")
SUBSETS = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
TAIL = re.compile(r"[_-](mask|masks|label|labels|seg|segmentation|gt|manual\d*)$", re.IGNORECASE)


def matches(path: Path) -> bool:
    """Whether the folder looks like this layout."""
    return bool(_pairs_of_folders(path))


def read(path: Path) -> Dataset:
    """The dataset; SegdistillError where an image has no mask, a mask no image, or the masks are no masks."""
    return scan(path).strict()


def scan(path: Path) -> Scan:
    """The cases whose files are there, and findings on those whose are not."""
    folders = _pairs_of_folders(path)
    if not folders:
        raise SegdistillError(
            f"{path} has no images/ beside labels/ or masks/ (also inside train/, val/, test/); arrange it "
            "so, or choose another layout"
        )
    findings: list[Finding] = []
    cases: list[Case] = []
    for subset, images, labels in folders:
        cases += _pairs(subset, images, labels, findings)
    if len({case.id for case in cases}) < len(cases) and len(folders) > 1:
        cases = [Case(f"{case.subset}_{case.id}", case.images, case.label, case.subset) for case in cases]
    if not cases:
        raise SegdistillError(
            findings[0].message if findings else f"{folders[0][1]} holds no image of a known format"
        )
    if (path / dataset_json.NAME).is_file():
        declared = dataset_json.parse_labels(path, dataset_json.load(path))
    else:
        declared = _labels(path, cases, findings)
    return assemble(path, LAYOUT, _channels(cases), declared, cases, findings)


def _pairs_of_folders(path: Path) -> list[tuple[str | None, Path, Path]]:
    """(subset, folder of images, folder of labels), train before validation before test."""
    direct = _images_and_labels(path)
    places: list[tuple[str | None, Path, Path]] = []
    for name, subset in SUBSETS.items():
        outside = _images_and_labels(path / name)
        if outside:
            places.append((subset, *outside))
        elif direct and (direct[0] / name).is_dir() and (direct[1] / name).is_dir():
            places.append((subset, direct[0] / name, direct[1] / name))
    if direct and (image_files(direct[0]) or not places):
        places.append((None, *direct))
    return places


def _images_and_labels(path: Path) -> tuple[Path, Path] | None:
    images = next((path / name for name in IMAGES if (path / name).is_dir()), None)
    labels = next((path / name for name in LABELS if (path / name).is_dir()), None)
    return (images, labels) if images and labels else None


def _pairs(subset: str | None, images: Path, labels: Path, findings: list[Finding]) -> list[Case]:
    masks: dict[str, Path] = {}
    for file in image_files(labels):
        if masks.setdefault(stem(file), file) != file:
            message = f"{file} and {masks[stem(file)]} are both masks of {stem(file)}; keep one"
            findings.append(Finding("error", stem(file), file, message))
    by_short_name = {TAIL.sub("", name): name for name in masks}
    cases: dict[str, Case] = {}
    for file in image_files(images):
        name = stem(file)
        mask = name if name in masks else by_short_name.get(name)
        if name in cases:
            message = f"{file} and {cases[name].images[0]} are both images of {name}; keep one"
            findings.append(Finding("error", name, file, message))
        elif mask is None:
            findings.append(Finding("error", name, file, f"{file} has no mask of that name in {labels}"))
        else:
            cases[name] = Case(name, (file,), masks[mask], subset)
    used = {case.label for case in cases.values()}
    for file in masks.values():
        if file not in used and not any(f.case == TAIL.sub("", stem(file)) for f in findings):
            findings.append(
                Finding("error", stem(file), file, f"{file} has no image of that name in {images}")
            )
    return list(cases.values())


def _channels(cases: list[Case]) -> tuple[str, ...]:
    for case in cases:
        try:
            count, geometry = read_header(case.images[0])
        except SegdistillError:  # reported when the case is read
            continue
        if count == 1:
            return ("gray",) if len(geometry.shape) == 2 else ("image",)
        if count == 3 and len(geometry.shape) == 2:
            return ("R", "G", "B")
        return tuple(f"channel_{number}" for number in range(count))
    raise SegdistillError(f"{cases[0].images[0].parent} holds no image that can be read")


def _labels(path: Path, cases: list[Case], findings: list[Finding]) -> Labels:
    found, broken = mask_values.gather([case.label for case in cases if case.label is not None])
    by_mask = {case.label: case.id for case in cases}
    findings += [Finding("error", by_mask[mask], mask, message) for mask, message in broken.items()]
    classes: dict[str, int | tuple[int, ...]] = {}
    try:
        classes |= mask_values.classes(found, path)
    except SegdistillError as error:
        if found or not broken:
            findings.append(Finding("error", None, path, str(error)))
        # so that the rest can be checked: what occurs is declared
        classes |= {f"class_{value}": value for value in sorted(found - {0})}
    return Labels(classes, background=0, ignore=None, regions=False, regions_class_order=())
