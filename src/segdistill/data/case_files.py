"""The files of one case, read so that they fit each other and the dataset; messages name the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segdistill.data.dataset import Dataset
from segdistill.data.geometry import Geometry
from segdistill.data.image import read_image, read_label
from segdistill.errors import SegdistillError


def read_channels(
    images: Sequence[Path], names: Sequence[str], among: Sequence[str] | None = None
) -> tuple[np.ndarray, Geometry]:
    """As `read_image`: the channels of these names.

    Args:
        names: the channels to read, in this order.
        among: all channels of the dataset, where the files may hold more than is asked for. A file that is not needed
            is not opened.

    Raises:
        SegdistillError: neither as many channels as names, nor as many as there are in all.
    """
    among = names if among is None else among
    wanted = [list(among).index(name) for name in names]
    if len(images) == len(among) > 1:
        array, geometry = read_image([images[number] for number in wanted])
    else:
        array, geometry = read_image(images)
        if len(array) == len(among):
            array = array[wanted]
    if len(array) != len(names):
        expected = f"{len(names)} are expected ({', '.join(names)})"
        if len(among) > len(names):
            expected += f", or all {len(among)} of the dataset ({', '.join(among)})"
        raise SegdistillError(f"{images[0]}: {len(array)} channels where {expected}")
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
