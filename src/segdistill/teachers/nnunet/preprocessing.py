"""From an image as its file has it to what a network of nnU-Net sees: turned, cropped, normalised, resampled.

As `DefaultPreprocessor` of nnU-Net v2 does it (Isensee et al., Nature Methods 18, 2021, supplement).
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from segdistill.errors import SegdistillError
from segdistill.teachers.nnunet.configuration import Configuration
from segdistill.teachers.nnunet.intensities import normalise
from segdistill.teachers.nnunet.placement import Placement, Reading
from segdistill.teachers.source import CaseImage

VERSION = 1  # of what this file does to images; cached answers of another are not used


def prepare(case: CaseImage, configuration: Configuration) -> tuple[np.ndarray, Placement]:
    """Prepare one case.

    Returns:
        (C, *grid) float32, always with three axes: a plane is one slice. And where its voxels lie.

    Raises:
        SegdistillError: the image does not fit the configuration; the case is named.
    """
    check(case, configuration)
    reading = Reading.of(case.geometry, configuration.reader)
    turned = reading.apply(case.image).transpose(0, *(1 + axis for axis in configuration.transpose))
    spacing = [reading.spacing[axis] for axis in configuration.transpose]
    filled = _filled(turned)
    box = _box(filled)
    cropped, mask = turned[(slice(None), *box)], filled[box]
    wanted = [
        *spacing[: 3 - len(configuration.spacing)],
        *configuration.spacing,
    ]  # planes stay where they are
    size = cropped.shape[1:]
    shape = [max(1, round(s / w * n)) for s, w, n in zip(spacing, wanted, size, strict=True)]
    channels = [
        _channel(cropped[k], k, mask, configuration, case.id) for k in range(len(configuration.schemes))
    ]
    array = configuration.resampling.apply(np.stack(channels), shape, spacing, wanted)
    offset = tuple(int(part.start) for part in box)
    placement = Placement(reading, configuration.transpose, offset, size, array.shape[1:])
    return array, placement


def check(case: CaseImage, configuration: Configuration) -> None:
    """Refuse an image whose channels or axes are not the configuration's.

    Raises:
        SegdistillError: with the case and what it lacks.
    """
    channels, dims = len(configuration.schemes), case.image.ndim - 1
    if len(case.image) != channels:
        raise SegdistillError(
            f"{case.id}: the image has {len(case.image)} channels, nnU-Net's sees {channels}"
        )
    if dims == 2 and len(configuration.patch_size) == 3:
        raise SegdistillError(
            f"{case.id} is a plane, but the configuration {configuration.name!r} sees volumes; use one for planes (2d)"
        )
    if dims == 2 and configuration.transpose[0] != 0:
        raise SegdistillError(
            f"{case.id} is a plane, but the plan slices volumes along another axis (transpose_forward "
            f"{list(configuration.transpose)}): it was made from volumes"
        )


def _channel(
    channel: np.ndarray, number: int, mask: np.ndarray, configuration: Configuration, case: str
) -> np.ndarray:
    inside = mask if configuration.masked[number] else None
    try:
        return normalise(
            channel.astype(np.float32),
            configuration.schemes[number],
            inside,
            configuration.intensities[number],
        )
    except SegdistillError as error:
        raise SegdistillError(f"{case}, channel {number}: {error}") from None


def _filled(image: np.ndarray) -> np.ndarray:
    """True where a voxel is not 0 in any channel, or lies in a hole of those."""
    return ndimage.binary_fill_holes((image != 0).any(axis=0))


def _box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box that holds all that is True; everything where nothing is."""
    if not mask.any():
        return tuple(slice(0, n) for n in mask.shape)
    ends = []
    for axis in range(mask.ndim):
        there = np.flatnonzero(mask.any(axis=tuple(k for k in range(mask.ndim) if k != axis)))
        ends.append(slice(int(there[0]), int(there[-1]) + 1))
    return tuple(ends)
