"""Which values images and labels may hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segdistill.errors import SegdistillError

LABEL_TOLERANCE = 1e-3  # 0.9999, as resampling tools leave it, is 1; 0.99 is a mistake


def finite(array: np.ndarray, path: Path) -> np.ndarray:
    """`array` as float32; SegdistillError where it holds NaN or infinity."""
    if array.dtype.kind == "c":
        raise SegdistillError(f"{path} holds complex numbers; save their magnitude")
    with np.errstate(over="ignore"):  # what float32 cannot hold is reported below as infinity
        array = np.ascontiguousarray(array, dtype=np.float32)
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        raise SegdistillError(
            f"{path} holds NaN or infinity in {bad} of {array.size} voxels; fill them (0, or air in CT) or "
            "leave the case out"
        )
    return array


def whole_numbers(array: np.ndarray, path: Path) -> np.ndarray:
    """`array` as int32; SegdistillError where a value is further than 0.001 from a whole number."""
    if array.dtype.kind in "biu" and array.dtype.itemsize <= 2:
        return np.ascontiguousarray(array, dtype=np.int32)
    rounded = np.rint(array)
    with np.errstate(invalid="ignore"):  # infinity
        wrong = ~(np.abs(array - rounded) <= LABEL_TOLERANCE)  # true for NaN too
    wrong |= np.abs(rounded) > np.iinfo(np.int32).max
    if wrong.any():
        raise SegdistillError(
            f"{path} is a label with {int(wrong.sum())} values that are no whole numbers of 32 bit (such as "
            f"{float(array[wrong][0]):.4g}); resampled with interpolation? use nearest neighbour"
        )
    return np.ascontiguousarray(rounded, dtype=np.int32)
