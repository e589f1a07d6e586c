"""Reading images and labels, and writing labels on the grid of an image, whatever the file format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from segdistill.data import nifti, photograph, simpleitk, tiff
from segdistill.data.geometry import Geometry
from segdistill.errors import SegdistillError

__all__ = [
    "FORMATS",
    "Geometry",
    "read_geometry",
    "read_header",
    "read_image",
    "read_label",
    "stem",
    "suffix",
]
__all__ += ["write_label"]

Reader = Callable[[Path], tuple[np.ndarray, Geometry]]
T = TypeVar("T")


@dataclass(frozen=True)
class Format:
    """How files of one kind are read and written."""

    read: Reader
    read_label: Reader
    read_header: Callable[[Path], tuple[int, Geometry]]
    write: Callable[[Path, np.ndarray, Path, Geometry], None]
    photograph: bool


_nifti = Format(nifti.read, nifti.read, nifti.read_header, nifti.write, photograph=False)
_itk = Format(simpleitk.read, simpleitk.read, simpleitk.read_header, simpleitk.write, photograph=False)
_picture = Format(
    photograph.read, photograph.read_label, photograph.read_header, photograph.write, photograph=True
)
_tiff = Format(tiff.read, tiff.read_label, tiff.read_header, tiff.write, photograph=True)

FORMATS: dict[str, Format] = {
    ".nii.gz": _nifti, ".nii": _nifti,
    ".mha": _itk, ".mhd": _itk, ".nrrd": _itk,
    ".png": _picture, ".jpg": _picture, ".jpeg": _picture, ".bmp": _picture,
    ".tif": _tiff, ".tiff": _tiff,
}  # fmt: skip

LABEL_TOLERANCE = 1e-3  # 0.9999, as resampling tools leave it, is 1; 0.99 is a mistake


def suffix(path: Path) -> str:
    """The part of the name that tells the format, such as ".nii.gz"; "" where no format is known."""
    name = path.name.lower()
    return next((ending for ending in FORMATS if name.endswith(ending)), "")


def stem(path: Path) -> str:
    """The name without the part that tells the format."""
    return path.name[: len(path.name) - len(suffix(path))]


def read_image(paths: Sequence[Path]) -> tuple[np.ndarray, Geometry]:
    """Read one image: several files of one channel each, or one file with all of its channels.

    Returns (C, *space) float32 in the array order of the file (x, y, z for volumes; rows, columns for
    photographs), and the geometry of the first file.

    Raises:
        SegdistillError: a file is missing, damaged, holds NaN or infinity, or lies on another grid than the
            first.
    """
    arrays: list[np.ndarray] = []
    grid: Geometry | None = None
    for path in paths:
        array, geometry = _read(path, _format(path).read)
        if grid is None:
            grid = geometry
        elif not geometry.same_grid(grid):
            raise SegdistillError(
                f"{path} is on another grid ({geometry.describe()}) than {paths[0]} ({grid.describe()}); "
                "resample the channels of a case to one grid first"
            )
        if len(paths) > 1 and len(array) > 1:
            raise SegdistillError(
                f"{path} holds {len(array)} channels, where each file of a case should hold one"
            )
        arrays.append(finite(array, path))
    if grid is None:
        raise ValueError("read_image needs at least one path")
    return (arrays[0] if len(arrays) == 1 else np.concatenate(arrays)), grid


def read_label(path: Path) -> tuple[np.ndarray, Geometry]:
    """Read a label file: (*space) int32 with the values of the file, and its geometry.

    Raises:
        SegdistillError: the file is missing, damaged, has several channels, or values that are not whole
            numbers (values within 0.001 of one are rounded).
    """
    array, geometry = _read(path, _format(path).read_label)
    if len(array) != 1:
        raise SegdistillError(
            f"{path} is a label with {len(array)} channels; it should hold one value a voxel"
        )
    return whole_numbers(array[0], path), geometry


def read_header(path: Path) -> tuple[int, Geometry]:
    """Number of channels and geometry of a file, from its header alone where the format allows."""
    return _read(path, _format(path).read_header)


def read_geometry(path: Path) -> Geometry:
    """Geometry of a file, from its header alone where the format allows."""
    return read_header(path)[1]


def write_label(path: Path, label: np.ndarray, like: Path) -> None:
    """Write `label` (*space), values as they are, on the grid of the image file `like`.

    The format follows the suffix of `path`. Affine, sform/qform codes and units of a NIfTI `like` are kept; a
    3-D label comes out of a `like` with channels. The smallest of uint8, int16, int32 that fits is used.

    Raises:
        SegdistillError: the format cannot hold it (a volume as PNG), or the file cannot be written.
        ValueError: the shape is not that of `like`.
    """
    path, like = Path(path), Path(like)
    geometry = read_geometry(like)
    if tuple(label.shape) != geometry.shape:
        raise ValueError(f"label of shape {label.shape} does not fit {like} of shape {geometry.shape}")
    target = _format(path)
    if target is _picture and label.ndim != 2:
        raise SegdistillError(f"{path}: a volume cannot be written as {suffix(path)}; ask for .nii.gz")
    target.write(path, _compact(label), like, geometry)


def finite(array: np.ndarray, path: Path) -> np.ndarray:
    """`array` as float32; SegdistillError where it holds NaN or infinity."""
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
    if array.dtype.kind in "biu":
        return np.ascontiguousarray(array, dtype=np.int32)
    rounded = np.rint(array)
    wrong = ~(np.abs(array - rounded) <= LABEL_TOLERANCE)  # true for NaN too
    if wrong.any():
        raise SegdistillError(
            f"{path} is a label with {int(wrong.sum())} values that are not whole numbers (such as "
            f"{float(array[wrong][0]):.4g}); resampled with interpolation? use nearest neighbour"
        )
    return np.ascontiguousarray(rounded, dtype=np.int32)


def _compact(label: np.ndarray) -> np.ndarray:
    low, high = (int(label.min()), int(label.max())) if label.size else (0, 0)
    for kind in (np.uint8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return np.ascontiguousarray(label, dtype=kind)
    raise ValueError(f"label values from {low} to {high} do not fit 32 bit")


def _format(path: Path) -> Format:
    known = FORMATS.get(suffix(Path(path)))
    if known is None:
        raise SegdistillError(f"{path}: format not known; known are {', '.join(FORMATS)}")
    return known


def _read(path: Path, reader: Callable[[Path], T]) -> T:
    path = Path(path)
    try:
        return reader(path)
    except (SegdistillError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise SegdistillError(f"{path} does not exist") from error
    except (PermissionError, IsADirectoryError) as error:
        raise SegdistillError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # readers raise almost anything on a damaged file
        reason = str(error).strip().splitlines()
        raise SegdistillError(
            f"{path} is truncated or damaged ({reason[-1] if reason else type(error).__name__}); "
            "copy or download it again"
        ) from error
