"""A folder of images without labels, named as the images of the dataset are."""

from __future__ import annotations

import re
from pathlib import Path

from segdistill.data.dataset import Case, Dataset
from segdistill.data.image import stem
from segdistill.data.scan import image_files
from segdistill.errors import SegdistillError


def unlabelled_cases(folder: Path, dataset: Dataset) -> tuple[Case, ...]:
    """The images in `folder`, as cases without label: NAME_0000, NAME_0001, ... a file a channel, or one file each.

    Raises:
        SegdistillError: no image there, a case without one of its channels, or one whose name the dataset has.
    """
    if not folder.is_dir():
        raise SegdistillError(
            f"data.unlabelled.path: {folder} is not a folder; it should hold images without labels"
        )
    count = len(dataset.channels)
    found: dict[str, dict[int, Path]] = {}
    for file in image_files(folder):
        numbered = re.fullmatch(r"(.+)_(\d{4})", stem(file))
        name, channel = (numbered[1], int(numbered[2])) if numbered else (stem(file), 0)
        found.setdefault(name, {})[channel] = file
    if not found:
        raise SegdistillError(f"data.unlabelled.path: {folder} holds no image of a known format")
    known = {case.id for case in dataset.cases}
    cases = []
    for name, files in sorted(found.items()):
        if name in known:
            raise SegdistillError(
                f"data.unlabelled.path: {files[min(files)]} has the name of case {name} of the dataset; rename it, or "
                "take the folder of other images"
            )
        if set(files) not in ({0}, set(range(count))):
            raise SegdistillError(
                f"data.unlabelled.path: {name} in {folder} has the channels {', '.join(map(str, sorted(files)))}; "
                f"expected one file, or {count}: {', '.join(dataset.channels)}"
            )
        cases.append(Case(name, tuple(files[channel] for channel in sorted(files)), None))
    return tuple(cases)
