"""The trunk: skin, fat, muscular wall, chest and belly, lungs, and the couch below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segdistill.data.phantom.canvas import Canvas
from segdistill.data.phantom.space import Space, profile, smooth_noise

# half width and half depth of the muscular wall's outside, by height
WALL_WIDTH: dict[int, float] = {
    -250: 150,
    -180: 152,
    -130: 145,
    -60: 132,
    0: 133,
    60: 142,
    120: 150,
    180: 152,
    215: 138,
    245: 92,
}
WALL_DEPTH: dict[int, float] = {
    -250: 96,
    -180: 100,
    -130: 94,
    -60: 84,
    0: 87,
    60: 94,
    120: 99,
    180: 92,
    215: 76,
    245: 60,
}
CHEST_WIDTH: dict[int, float] = {-20: 112, 0: 118, 60: 127, 120: 128, 170: 114, 205: 82, 228: 40, 240: 5}
CHEST_DEPTH: dict[int, float] = {-20: 70, 0: 74, 60: 84, 120: 87, 170: 75, 205: 54, 228: 30, 240: 5}
BELLY_WIDTH: dict[int, float] = {-240: 18, -215: 44, -195: 66, -170: 88, -120: 100, -70: 108, 0: 116, 60: 112}
BELLY_DEPTH: dict[int, float] = {-240: 24, -215: 50, -195: 66, -170: 74, -120: 70, -70: 66, 0: 70, 60: 70}
SPINE: dict[int, float] = {
    -235: -82,
    -200: -78,
    -160: -70,
    -120: -44,
    -60: -34,
    0: -42,
    60: -53,
    120: -60,
    180: -56,
    240: -38,
}


@dataclass(frozen=True)
class Trunk:
    """Signed distances (mm, negative inside) and shares of the trunk's compartments, needed by other parts.

    Attributes:
        wall: outside of the muscular wall, that is the inside of the fat below the skin.
        chest: inside of the rib cage.
        spine: y of the middle of the vertebral bodies, at every voxel.
        lungs: share of each voxel that is lung.
    """

    wall: np.ndarray
    chest: np.ndarray
    spine: np.ndarray
    lungs: np.ndarray


def _barrel(x: np.ndarray, y: np.ndarray, width: np.ndarray, depth: np.ndarray, power: float) -> np.ndarray:
    """Signed distance, along the ray from the middle, to a rounded box of the given half sides."""
    distance = np.sqrt(x * x + y * y) + np.float32(1e-3)
    scaled = (np.abs(x) / width) ** np.float32(power) + (np.abs(y) / depth) ** np.float32(power)
    return distance * (1 - (scaled + np.float32(1e-9)) ** np.float32(-1 / power))


def paint_trunk(canvas: Canvas, rng: np.random.Generator, fat: float) -> Trunk:
    """Paint everything down to the empty cavities and the lungs.

    Args:
        canvas: still empty (air).
        rng: source of the random numbers.
        fat: thickness of the fat below the skin in mm, on average.
    """
    space = canvas.space
    x, y, z = space.x, space.y, space.z
    wall = _barrel(x, y, profile(z, WALL_WIDTH), profile(z, WALL_DEPTH), 2.35)
    thickness = fat * profile(z, {-240: 1.5, -150: 1.4, -80: 1.15, 0: 1.0, 80: 0.7, 240: 0.5})
    thickness *= 1 + 0.3 * np.clip(np.abs(y) / 90, 0, 1) * np.where(z < 30, 1, 0.3)
    spine = profile(z, SPINE)
    # a furrow along the back, and between the buttocks
    furrow = (
        np.exp(-((x / 16) ** 2))
        * np.where(y < 0, 1, 0)
        * profile(z, {-240: 34, -200: 18, -160: 5, -90: 7, 240: 4})
    )
    skin = wall - thickness + furrow
    canvas.paint(space.filled(skin), "fat")
    grain = smooth_noise(rng, space.axes, 22)
    canvas.paint(space.filled(wall + np.float32(0.6) * furrow), "muscle")
    # fat between the muscles of the wall
    canvas.paint(space.filled(np.abs(grain) * 14 - 2.0) * (wall < 0) * np.float32(0.55), "fat")

    belly = _barrel(x, y - 8, profile(z, BELLY_WIDTH), profile(z, BELLY_DEPTH), 2.4)
    # the muscles of the back and the spine lie behind; beside them there is room for the kidneys
    back = spine + 4 - np.clip((np.abs(x) - 34) / 24, 0, 1) * profile(z, {-190: 6, -120: 14, -60: 32, 20: 26})
    belly = np.maximum.reduce([belly, -238 - z, z - 62, (back - y) * np.float32(0.8)])
    canvas.paint(space.filled(belly), "visceral fat")
    chest = _barrel(x, y - 3, profile(z, CHEST_WIDTH), profile(z, CHEST_DEPTH), 2.3)
    lungs = _paint_chest(canvas, rng, chest, spine)
    return Trunk(wall, chest, spine, lungs)


def _paint_chest(
    canvas: Canvas, rng: np.random.Generator, chest: np.ndarray, spine: np.ndarray
) -> np.ndarray:
    space = canvas.space
    x, y, z = space.x, space.y, space.z
    breath = rng.normal(0, 7)
    canvas.paint(space.filled(np.maximum(chest, 20 - z)) * np.where(np.abs(x) < 60, 1, 0), "mediastinum")
    half = 25 - 18 * np.clip((y - 38) / 30, 0, 1) + 5 * np.clip((z - 165) / 40, 0, 1)
    half += 4 * smooth_noise(rng, space.axes, 40)
    shares = []
    for side, top in ((1, 62), (-1, 50)):
        lateral = np.float32(side) * x
        dome = top + breath - ((lateral - 68) ** 2 / 105 + (y - 12) ** 2 / 92)
        dome = np.maximum(dome, -15)
        bottom = (dome - z) * np.float32(0.75)
        shares.append(space.filled(np.maximum.reduce([chest + 2, bottom, half - lateral])))
    lungs = np.clip(shares[0] + shares[1], 0, 1)
    canvas.paint(lungs, "lung")
    # denser where blood pools, at the back
    canvas.maps[0] += lungs * (
        np.clip(-y, -60, 80) * np.float32(0.9) + smooth_noise(rng, space.axes, 25) * 22
    )
    return lungs


def couch(space: Space, lowest: float) -> np.ndarray:
    """Share of each voxel filled by the couch, a curved sheet `lowest` mm behind the middle at its deepest.

    In the scanner's coordinates, not the patient's.
    """
    x, y = np.meshgrid(space.axes[0], space.axes[1], indexing="ij")
    sheet = np.abs(y + lowest - x**2 / 900) - 4
    inside = np.clip(0.5 - np.maximum(sheet, np.abs(x) - 190) / space.step, 0, 1)
    return np.repeat(inside[:, :, None], len(space.axes[2]), axis=2).astype(np.float32)
