"""MetaImage and NRRD files (.mha, .mhd, .nrrd) through SimpleITK."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np

from segdistill.atomic import replacing
from segdistill.data.geometry import Geometry

# ITK's world is LPS, ours RAS
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def read(path: Path) -> tuple[np.ndarray, Geometry]:
    """(C, x, y, z) or (C, x, y) in the file's own type, and its geometry."""
    import SimpleITK

    image = SimpleITK.ReadImage(str(path))
    array = SimpleITK.GetArrayFromImage(image)  # ([t,] z, y, x[, component])
    components = image.GetNumberOfComponentsPerPixel()
    if components > 1:
        array = np.moveaxis(array, -1, 0)
    else:
        array = array.reshape(-1, *array.shape[-3:]) if array.ndim > 3 else array[None]
    _, geometry = _describe(image)
    return array.transpose(0, *range(array.ndim - 1, 0, -1)), geometry


def read_header(path: Path) -> tuple[int, Geometry]:
    """Number of channels and geometry, without reading the voxels."""
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return _describe(reader, reader.GetNumberOfComponents())


def write(path: Path, label: np.ndarray, like: Path, geometry: Geometry) -> None:
    """Write `label` (array order x, y, z) with the geometry given, compressed."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(label.T))
    dims = label.ndim
    affine = FLIP @ geometry.affine
    spacing = np.array(geometry.spacing)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:dims, 3].tolist())
    image.SetDirection((affine[:dims, :dims] / spacing).ravel().tolist())
    with replacing(path) as temporary:
        SimpleITK.WriteImage(image, str(temporary), True)
        if not _holds(temporary, label):  # ITK itself does not notice a full disk
            raise OSError(errno.ENOSPC, "not all of it was written; is the disk full?")


def _holds(path: Path, label: np.ndarray) -> bool:
    """Whether a file can be read and holds this label."""
    try:
        return bool(np.array_equal(read(path)[0][0], label))
    except RuntimeError:
        return False


def _describe(image: Any, components: int | None = None) -> tuple[int, Geometry]:
    size = tuple(int(length) for length in image.GetSize())
    dims = min(len(size), 3)
    direction = np.array(image.GetDirection(), dtype=float).reshape(len(size), len(size))[:dims, :dims]
    affine = np.eye(4)
    affine[:dims, :dims] = direction * np.array(image.GetSpacing())[:dims]
    affine[:dims, 3] = np.array(image.GetOrigin())[:dims]
    channels = components if components is not None else image.GetNumberOfComponentsPerPixel()
    channels *= int(np.prod(size[3:], dtype=int))
    return channels, Geometry(size[:dims], FLIP @ affine)
