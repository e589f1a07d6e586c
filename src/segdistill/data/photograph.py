"""Photographs and their masks: PNG, JPEG, BMP, through Pillow. Pixels are as stored (no EXIF turning)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from segdistill.atomic import replacing
from segdistill.data.geometry import Geometry
from segdistill.errors import SegdistillError

GRAY = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")

ORIENTATION = 0x0112  # EXIF


def read(path: Path) -> tuple[np.ndarray, Geometry]:
    """(1, rows, columns) gray or (3, rows, columns) RGB; no alpha; palettes become RGB, 16 bit stay."""
    if _deep_colour(path):
        array = _read_deep_colour(path)
    else:
        with Image.open(path) as image:
            array = pixels(image)
    return array, _geometry(array.shape[1:])


def read_label(path: Path) -> tuple[np.ndarray, Geometry]:
    """(1, rows, columns) values of a mask: indices of a palette, one channel of a gray picture in RGB."""
    with Image.open(path) as image:
        palette, kind = image.mode in ("P", "PA"), image.format
        if palette:
            array = np.asarray(image if image.mode == "P" else image.getchannel(0))[None]
        elif image.mode == "1":
            array = np.asarray(image)[None].astype(np.uint8)
    if not palette and image.mode != "1":
        array, _ = read(path)
    if len(array) > 1 and (array == array[:1]).all():
        array = array[:1]
    if len(array) > 1:
        raise SegdistillError(
            f"{path} is a mask in colours; save it as a gray or palette PNG whose values are the classes"
        )
    if kind == "JPEG":
        between = np.setdiff1d(np.unique(array), (0, 255))
        if len(between):
            raise SegdistillError(
                f"{path} is a JPEG mask with {len(between)} values between 0 and 255 (such as {between[0]}), "
                "left by lossy compression; make it again as PNG from the original, or threshold it at 128"
            )
    return array, _geometry(array.shape[1:])


def read_header(path: Path) -> tuple[int, Geometry]:
    """Number of channels (1 or 3) and geometry, without decoding the pixels."""
    with Image.open(path) as image:
        return (1 if image.mode in GRAY else 3), _geometry((image.height, image.width))


def turned(path: Path) -> bool:
    """Whether EXIF asks viewers to show the picture turned or mirrored."""
    with Image.open(path) as image:
        return bool(image.getexif().get(ORIENTATION, 1) != 1)


def write(path: Path, label: np.ndarray, like: Path, geometry: Geometry) -> None:
    """Write a mask (rows, columns) with its values as they are: 8 bit, or 16 where needed (PNG)."""
    image = Image.fromarray(label if label.dtype == np.uint8 else label.astype(np.uint16))
    with replacing(path) as temporary:
        image.save(temporary)


def pixels(image: Image.Image) -> np.ndarray:
    """(1 or 3, rows, columns) of an open picture of any mode."""
    if image.mode in ("LA", "La"):
        image = image.getchannel(0)
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode not in GRAY and image.mode != "RGB":
        # Pillow blends nothing here: RGBA to RGB leaves the colours and drops alpha
        image = (image.convert("RGBA") if image.mode in ("P", "PA") else image).convert("RGB")
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0)


def _geometry(shape: tuple[int, ...]) -> Geometry:
    return Geometry(tuple(int(size) for size in shape), np.eye(4))


def _deep_colour(path: Path) -> bool:
    """Whether this is a PNG of 16 bit a channel with colour or alpha, which Pillow would cut to 8 bit."""
    with path.open("rb") as file:
        start = file.read(26)
    return start[:8] == b"\x89PNG\r\n\x1a\n" and len(start) == 26 and start[24] == 16 and start[25] != 0


def _read_deep_colour(path: Path) -> np.ndarray:
    import SimpleITK

    array = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))  # (rows, columns, samples)
    samples = array.shape[-1]
    return np.moveaxis(array[..., : 1 if samples < 3 else 3], -1, 0)
