"""The files of one case, read so that they fit each other and the dataset; messages name the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segdistill.data.dataset import Dataset
from segdistill.data.geometry import Geometry
from segdistill.data.image import read_image, read_label
from segdistill.errors import SegdistillError


def read_channels(images: Sequence[Path], names: Sequence[str]) -> tuple[np.ndarray, Geometry]:
    """As `read_image`; SegdistillError unless there are as many channels as names."""
    array, geometry = read_image(images)
    if len(array) != len(names):
        raise SegdistillError(
            f"{images[0]}: {len(array)} channels where {len(names)} are expected ({', '.join(names)})"
        )
    return array, geometry


def read_classes(label: Path, dataset: Dataset, image: Path, grid: Geometry) -> np.ndarray:
    """A label as classes, (L, *space) int16 as `Dataset.encode` gives them.

    Args:
        label: the file.
        dataset: what its values mean.
        image, grid: the first image of the case and where it lies.

    Raises:
        SegdistillError: the label cannot be read, lies on another grid, or holds values that are not declared.
    """
    values, own = read_label(label)
    if not own.same_grid(grid):
        raise SegdistillError(
            f"{label} lies on another grid ({own.describe()}) than {image} ({grid.describe()}); "
            "resample the label to the image"
        )
    try:
        return dataset.encode(values)
    except SegdistillError as error:
        raise SegdistillError(f"{label}: {error}") from error
