"""nnU-Net v2 raw folders: dataset.json, imagesTr/<case>_<channel>.<ending>, labelsTr/<case>.<ending>.

Images of imagesTs whose label lies in labelsTs are the test subset. The newer `dataset` key of dataset.json,
which names images and label of each case, is read where it is there. Photographs may hold all channels in one
file. Isensee et al., nnU-Net, Nature Methods 18, 2021; documentation/dataset_format.md of its repository.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from segdistill.data import dataset_json
from segdistill.data.dataset import Case, Dataset
from segdistill.data.finding import Finding
from segdistill.data.image import FORMATS, suffix
from segdistill.data.scan import Scan, assemble, image_files, is_photograph
from segdistill.errors import SegdistillError

LAYOUT = "nnunet_raw"
FOLDERS = (("imagesTr", "labelsTr", None), ("imagesTs", "labelsTs", "test"))


def matches(path: Path) -> bool:
    """Whether the folder looks like this layout."""
    content = dataset_json.glance(path)
    if "training" in content:
        return False
    return "channel_names" in content or "file_ending" in content or (path / "imagesTr").is_dir()


def read(path: Path) -> Dataset:
    """The dataset; SegdistillError where dataset.json and the files do not agree."""
    return scan(path).strict()


def scan(path: Path) -> Scan:
    """The cases whose files are there, and findings on those whose are not."""
    content = dataset_json.load(path)
    channels = dataset_json.parse_channels(path, content)
    labels = dataset_json.parse_labels(path, content)
    findings: list[Finding] = []
    if "dataset" in content:
        cases = _listed(path, content["dataset"], channels, findings)
        in_training = len(cases)
    else:
        ending = _ending(path, content)
        cases = []
        for images, label, subset in FOLDERS:
            cases += _folder(path / images, path / label, subset, ending, channels, findings)
        in_training = sum(case.subset is None for case in cases)
    declared = content.get("numTraining")
    if not findings and isinstance(declared, int) and declared != in_training:
        file = path / dataset_json.NAME
        message = (
            f"{file} says numTraining {declared}, but {in_training} training cases are there; mend either"
        )
        findings.append(Finding("error", None, file, message))
    return assemble(path, LAYOUT, channels, labels, cases, findings)


def _ending(path: Path, content: dict[str, Any]) -> str:
    ending = content.get("file_ending")
    files = image_files(path / "imagesTr")
    if not files:
        raise SegdistillError(f"{path / 'imagesTr'} holds no image; known are {', '.join(FORMATS)}")
    if ending is None:
        return suffix(files[0])
    where = f"{path / dataset_json.NAME}, file_ending"
    if not isinstance(ending, str) or not suffix(Path(f"x{ending}")):
        raise SegdistillError(f"{where}: {ending!r} is not known; known are {', '.join(FORMATS)}")
    if not any(file.name.endswith(ending) for file in files):
        raise SegdistillError(f"{where}: is {ending!r}, but the files end otherwise, such as {files[0].name}")
    return ending


def _folder(
    images: Path,
    labels: Path,
    subset: str | None,
    ending: str,
    channels: tuple[str, ...],
    findings: list[Finding],
) -> list[Case]:
    found: dict[str, dict[int, Path]] = {}
    for file in image_files(images):
        match = (
            re.fullmatch(r"(.+)_(\d{4})", file.name.removesuffix(ending))
            if file.name.endswith(ending)
            else None
        )
        if match:
            found.setdefault(match[1], {})[int(match[2])] = file
        elif file.name.endswith(ending):
            message = f"{file} has no channel number; expected a name such as case_0000{ending}"
            findings.append(Finding("error", None, file, message))
    answers = {
        file.name.removesuffix(ending): file for file in image_files(labels) if file.name.endswith(ending)
    }
    cases: list[Case] = []
    for name, by_channel in found.items():
        label = answers.pop(name, None)
        if label is None and subset == "test":
            continue  # a test image whose answer is not public
        problem = _channels_problem(images, name, ending, by_channel, channels)
        if label is None:
            problem = (
                f"{labels / (name + ending)} is missing, the label of {by_channel[min(by_channel)].name}"
            )
        if problem:
            findings.append(Finding("error", name, by_channel[min(by_channel)], problem))
        else:
            cases.append(
                Case(name, tuple(by_channel[number] for number in sorted(by_channel)), label, subset)
            )
    for name, label in answers.items():
        message = f"{images / f'{name}_0000{ending}'} is missing, the image of {label}"
        findings.append(Finding("error", name, label, message))
    return cases


def _channels_problem(
    folder: Path, name: str, ending: str, files: dict[int, Path], channels: tuple[str, ...]
) -> str | None:
    numbers = set(range(len(channels)))
    if set(files) == numbers or (set(files) == {0} and is_photograph(files[0])):
        return None  # the second: a colour photograph, all channels in one file
    missing, extra = sorted(numbers - set(files)), sorted(set(files) - numbers)
    if missing:
        return (
            f"{folder / f'{name}_{missing[0]:04d}{ending}'} is missing: dataset.json declares "
            f"{len(channels)} channel(s) ({', '.join(channels)})"
        )
    return f"{files[extra[0]]} is channel {extra[0]}, but dataset.json declares only {', '.join(channels)}"


def _listed(path: Path, listed: Any, channels: tuple[str, ...], findings: list[Finding]) -> list[Case]:
    where = f"{path / dataset_json.NAME}, dataset"
    if not isinstance(listed, dict):
        raise SegdistillError(f'{where}: expected {{"case": {{"images": [...], "label": ...}}}}')
    cases = []
    for name, entry in listed.items():
        images, label = (entry.get("images"), entry.get("label")) if isinstance(entry, dict) else (None, None)
        images = [images] if isinstance(images, str) else images
        if (
            not isinstance(images, list)
            or not isinstance(label, str)
            or not all(isinstance(i, str) for i in images)
        ):
            raise SegdistillError(f'{where}, {name}: expected {{"images": [paths], "label": path}}')
        files = [dataset_json.existing(path / file) for file in (*images, label)]
        missing = next((file for file in files if not file.is_file()), None)
        if missing is not None:
            message = f"{missing} is missing, which dataset.json names for {name}"
            findings.append(Finding("error", name, missing, message))
        elif len(images) != len(channels) and not (len(images) == 1 and is_photograph(files[0])):
            message = (
                f"{where}, {name}: {len(images)} images for {len(channels)} channels ({', '.join(channels)})"
            )
            findings.append(Finding("error", name, files[0], message))
        else:
            cases.append(Case(name, tuple(files[:-1]), files[-1], None))
    return cases
