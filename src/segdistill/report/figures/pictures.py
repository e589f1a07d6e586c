"""One slice of a case: image, reference and answers, turned the way a radiologist looks at them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.orientations import apply_orientation, io_orientation

from segdistill.data import open_dataset
from segdistill.data.dataset import Dataset
from segdistill.data.image import FORMATS, Geometry, read_image, read_label
from segdistill.errors import SegdistillError
from segdistill.report.run_folder import RunRecord

PLANES = ("sagittal", "coronal", "axial")


@dataclass(frozen=True)
class Picture:
    """image (C, rows, columns); reference and answers (L, rows, columns) as `Dataset.encode` has it."""

    image: np.ndarray
    reference: np.ndarray
    answers: Mapping[str, np.ndarray]
    aspect: float  # height of a pixel by its width
    place: str  # "axial slice 23 of 52"; empty for photographs


def find_dataset(run: RunRecord) -> Dataset:
    """The images of a run, from its recipe's data.path (seen from here, or from a folder above the run).

    Raises:
        SegdistillError: they are no longer there.
    """
    data = run.recipe.get("data") or {}
    path = data.get("path")
    if not path:
        raise SegdistillError("recipe.yaml does not say where the images are (data.path)")
    for place in (Path(path), *(parent / path for parent in run.path.resolve().parents)):
        if place.is_dir():
            dataset = open_dataset(place, data.get("layout"))
            return dataset.select(data["labels"]) if data.get("labels") else dataset
    raise SegdistillError(f"the images are no longer at {path}")


def find_prediction(run: RunRecord, case: str) -> Path | None:
    """The mask that a run predicted for a case."""
    if Path(case).name != case:
        return None
    places = (run.path / "predictions" / f"{case}{suffix}" for suffix in FORMATS)
    return next((place for place in places if place.is_file()), None)


def read_picture(dataset: Dataset, case: str, predictions: Mapping[str, Path]) -> Picture:
    """Read a case and cut it where the reference is largest, in the plane of the finest resolution.

    Raises:
        SegdistillError: the case or its label is not in the data set, or a file is damaged.
    """
    entry = next((one for one in dataset.cases if one.id == case), None)
    if entry is None or entry.label is None:
        raise SegdistillError(f"case {case} with a label is not in {dataset.path}")
    image, geometry = read_image(entry.images)
    reference = dataset.encode(read_label(entry.label)[0])
    answers = {name: dataset.encode(read_label(path)[0]) for name, path in predictions.items()}
    answers = {name: answer for name, answer in answers.items() if answer.shape == reference.shape}
    if len(geometry.shape) == 2:
        return _cut(image, reference, answers, geometry.spacing[0] / geometry.spacing[1], "")
    turn, spacing = _turn(geometry)
    image, reference = turn(image), turn(reference)
    answers = {name: turn(answer) for name, answer in answers.items()}
    axis = int(np.argmax(spacing)) if max(spacing) > 1.2 * min(spacing) else 2
    index = _largest(reference, answers, axis)
    place = f"{PLANES[axis]} slice {index + 1} of {reference.shape[1 + axis]}"

    def plane(array: np.ndarray) -> np.ndarray:
        # Rows run from head (or front) to foot (or back), columns from the patient's right to left.
        return np.take(array, index, axis=1 + axis).swapaxes(1, 2)[:, ::-1, ::-1]

    rest = [length for number, length in enumerate(spacing) if number != axis]
    flat = {name: plane(answer) for name, answer in answers.items()}
    return _cut(plane(image), plane(reference), flat, rest[1] / rest[0], place)


def contrast_channel(picture: Picture) -> int:
    """The channel in which the reference stands out most from the rest of the slice."""
    inside = (picture.reference > 0).any(axis=0)
    if not inside.any() or inside.all():
        return 0
    differences = [abs(c[inside].mean() - c[~inside].mean()) / (c.std() + 1e-9) for c in picture.image]
    return int(np.argmax(differences))


def _turn(geometry: Geometry) -> tuple[Callable[[np.ndarray], np.ndarray], list[float]]:
    """What turns (C, x, y, z) arrays to RAS+ axes, and the spacing along those."""
    orientation = io_orientation(geometry.affine)
    spacing = [0.0, 0.0, 0.0]
    for source, target in enumerate(orientation[:, 0]):
        spacing[int(target)] = geometry.spacing[source]

    def turn(array: np.ndarray) -> np.ndarray:
        return np.stack([apply_orientation(channel, orientation) for channel in array])

    return turn, spacing


def _largest(reference: np.ndarray, answers: Mapping[str, np.ndarray], axis: int) -> int:
    """The slice with most reference; without any, with most prediction; else the middle one."""
    others = tuple(number for number in range(4) if number != 1 + axis)
    for masks in (reference, *answers.values()):
        area = (masks > 0).sum(axis=others)
        if area.any():
            return int(area.argmax())
    return reference.shape[1 + axis] // 2


def _cut(
    image: np.ndarray, reference: np.ndarray, answers: Mapping[str, np.ndarray], aspect: float, place: str
) -> Picture:
    """Keep the surroundings of what is marked: half of the image at least, all of it where it is small."""
    marked = np.any([(mask > 0).any(axis=0) for mask in (reference, *answers.values())], axis=0)
    window: list[slice] = []
    for axis, size in enumerate(marked.shape):
        places = np.flatnonzero(marked.any(axis=1 - axis))
        low, high = (int(places[0]), int(places[-1]) + 1) if places.size else (0, size)
        side = min(size, max(64, size // 2, int(1.6 * (high - low))))
        start = min(max((low + high - side) // 2, 0), size - side)
        window.append(slice(start, start + side))
    cut = (slice(None), *window)
    return Picture(
        image[cut], reference[cut], {name: mask[cut] for name, mask in answers.items()}, aspect, place
    )
