"""Images and masks as .nii.gz files for a browser: voxels and where they lie, and nothing about the patient."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np

from segdistill.data.case_files import read_channels, read_classes
from segdistill.data.dataset import Dataset
from segdistill.data.geometry import Geometry
from segdistill.data.image import read_geometry

MISSED, TOO_MUCH, OTHER_CLASS = 1, 2, 3
"""Values of a difference; 0 is agreement, or a voxel that the reference ignores."""

DIFFERENCES = ("missed", "too much", "another class")
RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


def channel_volume(images: Sequence[Path], name: str, among: Sequence[str]) -> bytes:
    """One channel of a case: 16-bit whole numbers where it holds no others, else 32-bit floats."""
    array, geometry = read_channels(images, [name], among)
    return to_nifti(_compact(array[0]), geometry)


def colour_volume(images: Sequence[Path], among: Sequence[str]) -> bytes:
    """The three channels of a photograph as red, green and blue of 8 bit."""
    array, geometry = read_channels(images, among)
    largest = float(array.max(initial=0))
    scale = 255 / largest if largest > 255 or 0 < largest <= 1 else 1
    pixels = np.clip(np.rint(array * scale), 0, 255).astype(np.uint8)
    return to_nifti(np.ascontiguousarray(np.moveaxis(pixels, 0, -1)).view(RGB)[..., 0], geometry)


def mask_volume(mask: Path, own: Dataset, shown: Dataset, image: Path) -> bytes:
    """A mask as numbers of the classes that are shown, 0 the background, one above the last for what is ignored.

    Args:
        mask: the file.
        own: what its values mean.
        shown: the dataset of the page; classes are matched by name, and those that it does not have are left out.
        image: the case's first image.
    """
    grid = read_geometry(image)
    classes = _by_name(read_classes(mask, own, image, grid), own, shown)
    return to_nifti(_painted(classes, shown), grid)


def difference_volume(mask: Path, own: Dataset, label: Path, shown: Dataset, image: Path) -> bytes:
    """Where a mask and the reference disagree: 1 missed, 2 too much, 3 foreground of both, of another class."""
    grid = read_geometry(image)
    answer = _by_name(read_classes(mask, own, image, grid), own, shown)
    return to_nifti(difference(answer, read_classes(label, shown, image, grid)), grid)


def difference(answer: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Where (L, *space) classes of an answer and a reference disagree: (*space) uint8.

    Exclusive classes have L = 1 and class numbers; regions a channel each, of 0 and 1. -1 in either is agreement.
    """
    both = (answer >= 0) & (reference >= 0)
    unequal = both & (answer != reference)
    missed = (unequal & (reference > 0)).any(axis=0)
    too_much = (unequal & (answer > 0)).any(axis=0)
    out = np.zeros(answer.shape[1:], np.uint8)
    out[missed] = MISSED
    out[too_much] = TOO_MUCH
    out[missed & too_much] = OTHER_CLASS
    return out


def to_nifti(array: np.ndarray, geometry: Geometry) -> bytes:
    """An array on its grid as a compressed NIfTI-1 file with a header of its own: no text, no extensions.

    A photograph (rows, columns) becomes one slice with x to the right and y up, which viewers show upright.
    """
    affine = geometry.affine
    if array.ndim == 2:
        array, affine = array.T[:, ::-1, None], np.eye(4)
    image = nibabel.Nifti1Image(np.asarray(array), None, dtype=array.dtype)
    image.set_sform(affine, code="scanner")
    image.set_qform(None, code="unknown")
    image.header["pixdim"][1:4] = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), 1, mtime=0)


def _compact(array: np.ndarray) -> np.ndarray:
    """Whole numbers of 16 bit where nothing is lost by that."""
    limits = np.iinfo(np.int16)
    if array.size and limits.min <= array.min() and array.max() <= limits.max:
        whole = array.astype(np.int16)
        if (whole == array).all():
            return whole
    return np.asarray(array, dtype=np.float32)


def _by_name(classes: np.ndarray, own: Dataset, shown: Dataset) -> np.ndarray:
    """Classes of one dataset as those of the same name in another."""
    if own.classes == shown.classes and own.regions == shown.regions:
        return classes
    ignored = (classes < 0).any(axis=0)
    masks = {
        name: (classes[number] == 1 if own.regions else classes[0] == number + 1)
        for number, name in enumerate(own.classes)
    }
    out = np.zeros((len(shown.classes) if shown.regions else 1, *classes.shape[1:]), np.int16)
    for number, name in enumerate(shown.classes):
        if name in masks:
            channel, value = (number, 1) if shown.regions else (0, number + 1)
            out[channel][masks[name]] = value
    out[:, ignored] = -1
    return out


def _painted(classes: np.ndarray, shown: Dataset) -> np.ndarray:
    """(*space) uint8 of class numbers; regions one over the other, in the order of the dataset."""
    out = classes[0].copy()
    if shown.regions:
        out[:] = 0
        for number, region in enumerate(classes, 1):
            out[region == 1] = number
    out[(classes == -1).any(axis=0)] = len(shown.classes) + 1
    return out.astype(np.uint8)
