"""Folders of the Medical Segmentation Decathlon: dataset.json with `modality`, `labels`, `training`.

One image file a case, 4-D where there are several channels. Images of the `test` list have no labels there
and are left out. Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13, 2022.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segdistill.data import dataset_json
from segdistill.data.dataset import Case, Dataset
from segdistill.data.finding import Finding
from segdistill.data.image import stem, suffix
from segdistill.data.scan import Scan, assemble
from segdistill.errors import SegdistillError

LAYOUT = "decathlon"


def matches(path: Path) -> bool:
    """Whether the folder looks like this layout."""
    return "training" in dataset_json.glance(path)


def read(path: Path) -> Dataset:
    """The dataset; SegdistillError where dataset.json and the files do not agree."""
    return scan(path).strict()


def scan(path: Path) -> Scan:
    """The cases whose files are there, and findings on those whose are not."""
    content = dataset_json.load(path)
    channels = dataset_json.parse_channels(path, content)
    labels = dataset_json.parse_labels(path, content)
    where = f"{path / dataset_json.NAME}, training"
    entries = content.get("training")
    if not isinstance(entries, list) or not entries:
        raise SegdistillError(f'{where}: missing or empty; expected [{{"image": path, "label": path}}, ...]')
    findings: list[Finding] = []
    cases = []
    for number, entry in enumerate(entries):
        images, label = _entry(entry, f"{where}, entry {number}")
        files = [dataset_json.existing(path / file) for file in (*images, label)]
        name = stem(files[0])
        problem = next(
            (f"{file} is missing, which dataset.json names" for file in files if not file.is_file()), None
        )
        if problem is None:
            problem = next((f"{file}: format not known" for file in files if not suffix(file)), None)
        if problem is None and len(images) not in (1, len(channels)):
            problem = f"{where}, entry {number}: {len(images)} images for {len(channels)} channels"
        if problem:
            findings.append(Finding("error", name, files[0], problem))
        else:
            cases.append(Case(name, tuple(files[:-1]), files[-1], None))
    declared = content.get("numTraining")
    if isinstance(declared, int) and declared != len(entries):
        file = path / dataset_json.NAME
        message = f"{file} says numTraining {declared}, but its training list has {len(entries)} entries"
        findings.append(Finding("error", None, file, message))
    return assemble(path, LAYOUT, channels, labels, cases, findings)


def _entry(entry: Any, where: str) -> tuple[list[str], str]:
    images, label = (entry.get("image"), entry.get("label")) if isinstance(entry, dict) else (None, None)
    images = [images] if isinstance(images, str) else images
    if not isinstance(images, list) or not images or not isinstance(label, str):
        raise SegdistillError(f'{where}: expected {{"image": path, "label": path}}')
    return [str(image) for image in images], label
