"""Reading images and labels, and writing labels on the grid of an image, whatever the file format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from segdistill.data import nifti, photograph, simpleitk, tiff
from segdistill.data.geometry import Geometry
from segdistill.data.values import finite, whole_numbers
from segdistill.errors import SegdistillError

__all__ = [
    "FORMATS",
    "Geometry",
    "check_writable",
    "read_geometry",
    "read_header",
    "read_image",
    "read_label",
    "read_label_values",
    "stem",
    "suffix",
    "write_label",
]

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


UNFIT = {
    ".mhd": "labels are written as one file, not as .mhd with .raw; ask for .mha",
    ".jpg": "masks are not written as JPEG, which would blur them; ask for .png",
    ".jpeg": "masks are not written as JPEG, which would blur them; ask for .png",
}
"""Formats that are read, but not written."""

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
    values, geometry = read_label_values(path)
    return whole_numbers(values, path), geometry


def read_label_values(path: Path) -> tuple[np.ndarray, Geometry]:
    """As `read_label`, the values as stored, whole numbers or not."""
    array, geometry = _read(path, _format(path).read_label)
    if len(array) != 1:
        raise SegdistillError(
            f"{path} is a label with {len(array)} channels; it should hold one value a voxel"
        )
    return array[0], geometry


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
    check_writable(path, label.ndim)
    _format(path).write(path, _compact(label), like, geometry)


def check_writable(path: Path, spatial_dims: int) -> None:
    """Raise SegdistillError where a mask of so many axes cannot be written by that name.

    `write_label` says so too; this is for telling it before a long computation.
    """
    if _format(path) is _picture and spatial_dims != 2:
        raise SegdistillError(f"{path}: a volume cannot be written as {suffix(path)}; ask for .nii.gz")
    if suffix(path) in UNFIT:
        raise SegdistillError(f"{path}: {UNFIT[suffix(path)]}")


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
    except SegdistillError:
        raise
    except MemoryError as error:
        raise SegdistillError(f"{path} does not fit in memory, or is damaged ({error})") from error
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
