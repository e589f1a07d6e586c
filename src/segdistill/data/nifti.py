"""NIfTI files (.nii, .nii.gz; version 1 and 2), read by content: a gzip stream named .nii is understood."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from segdistill.atomic import replacing
from segdistill.data.geometry import Geometry
from segdistill.errors import SegdistillError

GZIP = b"\x1f\x8b"


def read(path: Path) -> tuple[np.ndarray, Geometry]:
    """(C, *space) in the file's own type (float where the header scales), and its geometry."""
    content = path.read_bytes()
    if content[:2] == GZIP:
        content = gzip.decompress(content)  # the whole stream, so that its checksum is verified
    image = _image(io.BytesIO(content), path)
    array = np.asanyarray(image.dataobj)
    if array.dtype.names:  # an RGB voxel
        array = np.stack([array[name] for name in array.dtype.names], axis=-1)
    channels, geometry = _describe(image, path)
    return _channels_first(array, geometry, channels), geometry


def read_header(path: Path) -> tuple[int, Geometry]:
    """Number of channels and geometry, without reading the voxels."""
    with path.open("rb") as raw:
        compressed = raw.read(2) == GZIP
    with gzip.open(path) if compressed else path.open("rb") as stream:
        return _describe(_image(stream, path), path)


def write(path: Path, label: np.ndarray, like: Path, geometry: Geometry) -> None:
    """Write `label`; where `like` is NIfTI, its header (affine, codes, units, version) is kept."""
    if like.name.lower().endswith((".nii", ".nii.gz")):
        with like.open("rb") as raw:
            compressed = raw.read(2) == GZIP
        with gzip.open(like) if compressed else like.open("rb") as stream:
            source = _image(stream, like)
        header = source.header.copy()
        header.extensions.clear()  # may hold what belongs to the image only, down to names of patients
        header.set_slope_inter(1, 0)
        header["cal_min"] = header["cal_max"] = 0
        header.set_intent("none")
        header.set_data_dtype(label.dtype)
        image = type(source)(label, source.affine, header)
    else:
        image = nibabel.Nifti1Image(label, geometry.affine)
        image.header.set_xyzt_units("mm")
        image.set_sform(geometry.affine, code="scanner")
    # nibabel takes compression from the name
    with replacing(path) as temporary:
        nibabel.save(image, temporary)


def _image(stream: io.BufferedIOBase, path: Path) -> Any:
    start = stream.read(4)
    stream.seek(0)
    sizes = {int.from_bytes(start, order) for order in ("little", "big")}
    if 348 not in sizes and 540 not in sizes:
        raise SegdistillError(f"{path} is no NIfTI file (its first bytes are {start!r}); replace the file")
    kind = nibabel.Nifti2Image if 540 in sizes else nibabel.Nifti1Image
    return kind.from_stream(stream)


def _describe(image: Any, path: Path) -> tuple[int, Geometry]:
    shape = tuple(int(size) for size in image.shape)
    space = shape[:3]
    if len(space) < 2 or min(shape) < 1:
        raise SegdistillError(f"{path} has the shape {shape}; an image has 2 or 3 axes, or 4 with channels")
    names = image.header.get_data_dtype().names
    channels = len(names) if names else 1
    channels *= int(np.prod(shape[3:], dtype=int))
    geometry = Geometry(space, np.asarray(image.affine, dtype=float))
    if not np.isfinite(geometry.affine).all() or np.linalg.det(geometry.affine) == 0:
        raise SegdistillError(
            f"{path} has a header that places no voxels (affine {geometry.affine[:3].tolist()}); "
            "write the file again with a valid voxel size and orientation"
        )
    _agree(image, geometry, path)
    return channels, geometry


def _agree(image: Any, geometry: Geometry, path: Path) -> None:
    header = image.header
    if not (header["sform_code"] > 0 and header["qform_code"] > 0):
        return
    sform, qform = (Geometry(geometry.shape, form) for form in (header.get_sform(), header.get_qform()))
    if not sform.same_grid(qform):
        raise SegdistillError(
            f"{path}: sform and qform disagree by {sform.distance(qform):.3g} mm, so programs place it "
            "differently; keep the right one, with nibabel: image.set_qform(image.get_sform()) or "
            "image.set_sform(image.get_qform()), then save"
        )


def _channels_first(array: np.ndarray, geometry: Geometry, channels: int) -> np.ndarray:
    array = array.reshape(*geometry.shape, channels)
    return np.moveaxis(array, -1, 0)
