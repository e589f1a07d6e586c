"""TIFF files: gray or RGB photographs (rows, columns), and stacks of pages as volumes (x, y, z).

The voxel size of a stack is taken from nnU-Net's file beside it (`case.json` for `case_0000.tif` and
`case.tif`): {"spacing": [z, y, x]}; 1 mm where there is none.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageSequence

from segdistill.atomic import replacing, write_json
from segdistill.data.geometry import Geometry
from segdistill.data.photograph import pixels
from segdistill.errors import SegdistillError


def read(path: Path) -> tuple[np.ndarray, Geometry]:
    """(C, rows, columns) or (C, x, y, z) in the file's own type, and its geometry."""
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        axes, shape, compression = series.axes, series.shape, file.pages.first.compression
        codec_missing = compression not in (1, 8, 32946)  # none, and the two deflates, need no extra package
        palette = file.pages.first.photometric == tifffile.PHOTOMETRIC.PALETTE
        array = None if codec_missing or palette else series.asarray()
    if array is None:
        with Image.open(path) as image:  # libtiff inside Pillow knows LZW, JPEG and palettes
            pages = [pixels(page.copy()) for page in ImageSequence.Iterator(image)]
        stack = np.stack(pages, axis=1)  # (C, page, rows, columns)
        array = stack[:, 0] if len(pages) == 1 else stack
        return _oriented(array), _geometry(path, array.shape[1:])
    channels, space = _split(axes, shape, path)
    array = np.moveaxis(array, axes.index(channels), 0) if channels else array[None]
    array = array.reshape(len(array), *space)
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if channels == "S":
        array = array[: 1 if len(array) < 3 else 3]  # without alpha
    return _oriented(array), _geometry(path, space)


def read_label(path: Path) -> tuple[np.ndarray, Geometry]:
    """(1, *space) values of a mask; a palette gives its indices."""
    with tifffile.TiffFile(path) as file:
        palette = file.pages.first.photometric == tifffile.PHOTOMETRIC.PALETTE
    if palette:
        with Image.open(path) as image:
            array = np.stack([np.asarray(page.copy()) for page in ImageSequence.Iterator(image)])
        array = array if len(array) == 1 else array[None]
        return _oriented(array), _geometry(path, array.shape[1:])
    array, geometry = read(path)
    if len(array) > 1 and (array == array[:1]).all():
        array = array[:1]
    if len(array) > 1:
        raise SegdistillError(
            f"{path} is a mask with {len(array)} channels; save it with one, its values the classes"
        )
    return array, geometry


def read_header(path: Path) -> tuple[int, Geometry]:
    """Number of channels and geometry, without decoding the pixels."""
    with tifffile.TiffFile(path) as file:
        axes, shape = file.series[0].axes, file.series[0].shape
        palette = file.pages.first.photometric == tifffile.PHOTOMETRIC.PALETTE
    channels, space = _split(axes, shape, path)
    count = shape[axes.index(channels)] if channels else 1
    if channels == "S":
        count = 1 if count < 3 else 3
    return 3 if palette else count, _geometry(path, space)


def write(path: Path, label: np.ndarray, like: Path, geometry: Geometry) -> None:
    """Write a mask (deflate); a volume as a stack of pages, with its voxel size in `case.json` beside it."""
    with replacing(path) as temporary:
        tifffile.imwrite(
            temporary, np.ascontiguousarray(label.T if label.ndim == 3 else label),
            compression="zlib", photometric="minisblack", metadata={"axes": "ZYX"[3 - label.ndim :]},
        )  # fmt: skip
    if label.ndim == 3 and geometry.spacing != (1.0, 1.0, 1.0):
        write_json(_spacing_file(path), {"spacing": list(reversed(geometry.spacing))})


def _split(axes: str, shape: tuple[int, ...], path: Path) -> tuple[str, tuple[int, ...]]:
    """The letter of the channel axis ("" if none), and the shape of space in file order."""
    channels = next((letter for letter in "SC" if letter in axes), "")
    space = [size for letter, size in zip(axes, shape, strict=True) if letter != channels]
    outer = [size for size in space[:-2] if size > 1]
    if len(space) < 2 or len(outer) > 1:
        raise SegdistillError(f"{path} has axes {axes} of {shape}; expected a picture or one stack of pages")
    return channels, (*outer, *space[-2:])


def _oriented(array: np.ndarray) -> np.ndarray:
    return array.transpose(0, 3, 2, 1) if array.ndim == 4 else array


def _geometry(path: Path, space: tuple[int, ...]) -> Geometry:
    space = tuple(int(size) for size in space)
    if len(space) == 2:
        return Geometry(space, np.eye(4))
    spacing = _spacing(path)
    return Geometry(space[::-1], np.diag([*spacing[::-1], 1.0]))


def _spacing_file(path: Path) -> Path:
    return path.with_name(re.sub(r"_\d{4}$", "", path.stem) + ".json")


def _spacing(path: Path) -> tuple[float, float, float]:
    beside = _spacing_file(path)
    if not beside.is_file():
        return 1.0, 1.0, 1.0
    try:
        z, y, x = (float(value) for value in json.loads(beside.read_text(encoding="utf-8"))["spacing"])
    except (KeyError, TypeError, ValueError) as error:
        raise SegdistillError(
            f'{beside} should hold {{"spacing": [z, y, x]}} in mm for {path.name}'
        ) from error
    if min(x, y, z) <= 0:
        raise SegdistillError(f"{beside} holds a spacing that is not positive: {[z, y, x]}")
    return z, y, x
