"""A folder of soft predictions, one file a case, as a teacher: what a network said, without the network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from segdistill.data import dataset_json, nifti
from segdistill.errors import SegdistillError
from segdistill.teachers.soft_predictions import formats
from segdistill.teachers.soft_predictions.formats import Values
from segdistill.teachers.soft_predictions.opened import SoftFolder


@dataclass(frozen=True)
class SoftPredictions:
    """A folder with `<case>.npz`, `<case>.npy`, `<case>.nii.gz` or `<case>.nii` for each case.

    Formats and axis orders are those of `formats.read`; of several files of one case the first of that list is
    taken. Names of classes come from the settings, or from a dataset.json in the folder. Probabilities become logits
    by the inverse of softmax or sigmoid, clipped to [1e-6, 1 - 1e-6] (`probabilities.CLIP`).

    Attributes:
        classes: foreground classes in the order of the channels (after the background), or the regions.
        overlapping: the channels are overlapping regions, not exclusive classes; None: what dataset.json says, else no.
        values: what the files hold; None: what they say, else probabilities where all values lie in [0, 1], and
            logits where some are negative.
    """

    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    overlapping: bool | None = None
    values: Values | None = None

    @staticmethod
    def recognises(path: Path) -> bool:
        """Whether a folder has such files, and is no run, no trained nnU-Net and no MONAI bundle."""
        if not path.is_dir() or (path / "run.json").exists() or (path / "configs").is_dir():
            return False
        if any(path.glob("fold_*")):
            return False
        files = list(_files(path).values())
        return any(formats.ending_of(file) in (".npz", ".npy") for file in files) or any(
            _is_soft_nifti(file) for file in files[:1]
        )

    def open(self, path: Path, *, trust: bool = False) -> SoftFolder:
        """The folder as a source of answers.

        Args:
            trust: not needed; nothing is unpickled.

        Raises:
            SegdistillError: no folder, no such files in it, or a dataset.json that cannot be understood.
        """
        if not path.is_dir():
            raise SegdistillError(f"{path}: no such folder; name the folder with one file for each case")
        files = _files(path)
        if not files:
            raise SegdistillError(
                f"{path} holds no soft predictions; expected one file a case, "
                f"<case>{', <case>'.join(formats.ENDINGS)}"
            )
        classes, regions = self.classes, self.overlapping
        content = dataset_json.load(path) if (path / dataset_json.NAME).is_file() else {}
        if "labels" in content and (classes is None or regions is None):
            told = dataset_json.parse_labels(path, content)
            classes = tuple(told.labels) if classes is None else classes
            regions = told.regions if regions is None else regions
        return SoftFolder(path, files, classes, bool(regions), self.values, _turned(path, content))


def _files(folder: Path) -> dict[str, Path]:
    """By case the file that is read."""
    found: dict[str, Path] = {}
    for ending in formats.ENDINGS:
        for file in sorted(folder.iterdir()):
            if file.is_file() and formats.ending_of(file) == ending and not file.name.startswith("."):
                found.setdefault(file.name[: -len(ending)], file)
    return found


def _is_soft_nifti(file: Path) -> bool:
    try:
        return nifti.read_header(file)[0] > 1
    except (SegdistillError, OSError, EOFError, ValueError):
        return False


def _turned(folder: Path, content: Mapping[str, object]) -> bool:
    """Whether nnU-Net, which leaves its plans beside its predictions, turned the images to RAS."""
    told = content.get("overwrite_image_reader_writer")
    plans = folder / "plans.json"
    if told is None and plans.is_file():
        try:
            told = json.loads(plans.read_text(encoding="utf-8")).get("image_reader_writer")
        except (OSError, ValueError, AttributeError) as error:
            raise SegdistillError(f"{plans} is broken ({error}); mend or delete it") from error
    return told == "NibabelIOWithReorient"
