"""Files with the soft predictions of one case, brought to the axes of the case's image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nibabel.orientations
import numpy as np

from segdistill.data import nifti
from segdistill.data.geometry import Geometry
from segdistill.errors import SegdistillError
from segdistill.teachers.files.reason import reason

Values = Literal["probabilities", "logits"]

ENDINGS = (".npz", ".npy", ".nii.gz", ".nii")
"""In the order of preference: nnU-Net writes its hard labels as `case.nii.gz` beside `case.npz`."""

NNUNET_KEYS = ("probabilities", "softmax")  # of nnU-Net version 2 and 1
PHOTOGRAPH = np.eye(4)


@dataclass(frozen=True)
class SoftMap:
    """What a file says.

    Attributes:
        values: (K, *space of the case's image) float32.
        kind: what these are, where the file says so.
    """

    values: np.ndarray
    kind: Values | None


def ending_of(path: Path) -> str:
    """The ending of a file that may hold soft predictions; "" for others."""
    name = path.name.lower()
    return next((ending for ending in ENDINGS if name.endswith(ending)), "")


def read(path: Path, geometry: Geometry, *, turned: bool = False) -> SoftMap:
    """The soft predictions of a case.

    `.npz` of nnU-Net: `probabilities` or `softmax`, (K, z, y, x), for photographs (K, 1, rows, columns) or (K, rows,
    columns). `.npz` with `logits` and `.npy`: (K, *space) in the axis order of the image. NIfTI: (x, y, z, K) or
    (x, y, z, 1, K). Arrays of Python objects are refused, never unpickled.

    Args:
        geometry: that of the case's image.
        turned: nnU-Net had turned the images to RAS when it read them (its `NibabelIOWithReorient`).

    Raises:
        SegdistillError: damaged, no such arrays, hard labels, another shape or grid than the image's.
    """
    try:
        if ending_of(path).startswith(".nii"):
            return SoftMap(_from_nifti(path, geometry), None)
        with path.open("rb") as file:  # numpy leaves a damaged one open
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return SoftMap(_fitting(loaded, geometry, path, "the array"), None)
            return _from_arrays(loaded, geometry, path, turned)
    except SegdistillError:
        raise
    except MemoryError as error:
        raise SegdistillError(f"{path} does not fit in memory, or is damaged ({error})") from error
    except Exception as error:  # numpy, zipfile and nibabel raise almost anything on a damaged file
        if _is_pickled(path, error):
            raise SegdistillError(
                f"{path} holds Python objects (a pickle), which can run code when they are read; it was not read. "
                "Save plain arrays of numbers"
            ) from None
        raise SegdistillError(f"{path} is truncated or damaged ({reason(error)}); write it again") from error


def _is_pickled(path: Path, error: Exception) -> bool:
    """Whether numpy refused a file for what is a pickle; it calls all that it does not know so."""
    if str(error).startswith("Object arrays"):
        return True
    try:
        with path.open("rb") as file:
            return file.read(1) == b"\x80"
    except OSError:
        return False


def _from_arrays(arrays: Mapping[str, Any], geometry: Geometry, path: Path, turned: bool) -> SoftMap:
    names = list(arrays)
    key = next((name for name in NNUNET_KEYS if name in names), None)
    if key is not None:
        return SoftMap(_from_nnunet(arrays[key], geometry, path, key, turned), "probabilities")
    if "logits" in names:
        return SoftMap(_fitting(arrays["logits"], geometry, path, "logits"), "logits")
    raise SegdistillError(
        f"{path} holds {', '.join(names) or 'nothing'}; expected `probabilities` (or `softmax`) as nnU-Net writes "
        "it with --save_probabilities, or `logits`"
    )


def _from_nnunet(array: np.ndarray, geometry: Geometry, path: Path, key: str, turned: bool) -> np.ndarray:
    """(K, z, y, x) -> (K, x, y, z); photographs keep their rows and columns."""
    flat = len(geometry.shape) == 2
    if flat and array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if not (flat and np.array_equal(geometry.affine, PHOTOGRAPH)) and array.ndim == len(geometry.shape) + 1:
        array = array.transpose(0, *range(array.ndim - 1, 0, -1))
    if turned and array.ndim == 4 and not flat:
        there = nibabel.orientations.io_orientation(geometry.affine)
        back = nibabel.orientations.ornt_transform(nibabel.orientations.axcodes2ornt("RAS"), there)
        array = np.moveaxis(nibabel.orientations.apply_orientation(np.moveaxis(array, 0, -1), back), -1, 0)
    return _fitting(array, geometry, path, f"{key}, in the order of the image's axes,")


def _fitting(array: np.ndarray, geometry: Geometry, path: Path, what: str) -> np.ndarray:
    if array.dtype.kind not in "fiub":
        raise SegdistillError(f"{path}: {what} holds {array.dtype}, no numbers")
    if array.shape[1:] != geometry.shape:
        raise SegdistillError(
            f"{path}: {what} is of shape {array.shape}, the case's image of {geometry.shape}; expected (classes, "
            f"{', '.join(map(str, geometry.shape))}): predict the case again from this image, on its own grid"
        )
    return np.ascontiguousarray(array, np.float32)


def _from_nifti(path: Path, geometry: Geometry) -> np.ndarray:
    array, theirs = nifti.read(path)
    if not theirs.same_grid(geometry):
        raise SegdistillError(
            f"{path} lies on another grid ({theirs.describe()}) than the case's image ({geometry.describe()}); "
            "resample it to the image's grid"
        )
    if len(array) < 2:
        raise SegdistillError(
            f"{path} holds one value a voxel, so labels and no soft predictions; expected (x, y, z, classes). "
            "nnU-Net writes soft ones with --save_probabilities"
        )
    return _fitting(array, geometry, path, "the array, channels first,")
