"""Spine, ribs, breastbone, shoulder blades, pelvis and thigh bones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segdistill.data.phantom.canvas import Canvas
from segdistill.data.phantom.space import Cut, Point, Space, profile, tube
from segdistill.data.phantom.trunk import SPINE, Trunk

# discs from the sacrum upwards; five lumbar vertebrae, then thoracic ones
DISCS = [-124, -95, -66, -38, -11, 15, 39, 62, 84, 105, 126, 146, 166, 185, 204, 222, 240, 258]


def _bone(canvas: Canvas, distance: np.ndarray, cut: Cut, thickness: float) -> None:
    """Hard outside of `thickness` mm, marrow within."""
    space = canvas.space
    canvas.paint(space.filled(distance), "cortex", cut)
    canvas.paint(space.filled(distance + np.float32(thickness)), "marrow", cut)


def _bone_tube(
    canvas: Canvas, points: Sequence[Point], radii: Sequence[float] | float, thickness: float = 3.0
) -> None:
    widest = radii if isinstance(radii, (int, float)) else max(radii)
    low, high = np.min(points, axis=0) - widest, np.max(points, axis=0) + widest
    cut = canvas.space.near(low.tolist(), high.tolist())
    _bone(canvas, tube(canvas.space.part(cut), points, radii), cut, thickness)


def paint_spine(canvas: Canvas) -> None:
    """Vertebral bodies with discs between, arches, spinous and transverse processes, cord, sacrum."""
    cut = canvas.space.near((-45, -125, -130), (45, 0, 260))
    space = canvas.space.part(cut)
    x, z = space.x, space.z
    y = space.y - profile(z, SPINE)
    level = np.interp(z, DISCS, np.arange(len(DISCS))).astype(np.float32)
    height = np.interp(np.floor(level), np.arange(len(DISCS) - 1), np.diff(DISCS)).astype(np.float32)
    from_disc = np.minimum(level % 1, 1 - level % 1) * height  # mm to the middle of the nearest disc
    size = profile(z, {-124: 1.0, 15: 0.9, 120: 0.72, 240: 0.58})
    above_sacrum = np.float32(DISCS[0]) - z
    body = (np.sqrt((x / 24) ** 2 + (y / 18) ** 2) / size - 1) * np.float32(20) * size
    canvas.paint(space.filled(np.maximum(body + 1, above_sacrum)), "cartilage", cut)
    waist = body + np.clip(from_disc - 5, 0, 6) * np.float32(0.35)
    _bone(canvas, np.maximum.reduce([waist, 3.5 - from_disc, above_sacrum]), cut, 2.0)
    back = y + 27 * size
    ring = np.abs(np.sqrt(x**2 + back**2) - 11 * np.sqrt(size)) - 3.5
    spinous = np.maximum(np.abs(x) - 3.5, np.abs(back + 24 * size) - 14 * size)
    transverse = np.maximum(np.abs(back - 2) - 5, np.abs(np.abs(x) - 22) - 15 * size)
    middle = np.abs(from_disc - height / 2)
    arch = np.maximum(np.minimum(spinous, ring), middle - 9)
    arch = np.minimum(arch, np.maximum(transverse, middle - 5))
    _bone(canvas, np.maximum(arch, above_sacrum), cut, 3.5)
    canvas.paint(
        space.filled(np.maximum(np.sqrt(x**2 + back**2) - 8 * np.sqrt(size), above_sacrum)), "cord", cut
    )


def paint_ribs(canvas: Canvas, trunk: Trunk) -> None:
    """Twelve pairs in the wall of the chest, sloping down to the front, cartilage near the breastbone."""
    cut = canvas.space.near((-170, -120, -30), (170, 110, 245))
    space = canvas.space.part(cut)
    angle = np.abs(np.arctan2(space.x, -(space.y - 3)))  # 0 at the back, pi at the front
    depth = trunk.chest[cut] - 4
    slope = 66 * np.sin(np.clip(angle, 0, 2.2) / 1.4) ** 2
    number = (224 - space.z - slope) / np.float32(19.5)
    nearest = np.clip(np.round(number), 0, 11)
    vertical = (number - nearest) * np.float32(19.5)
    distance = np.sqrt((vertical / 1.15) ** 2 + depth**2) - np.float32(4.2)
    ends = np.where(nearest >= 10, 1.6, np.where(nearest >= 7, 2.35, 2.9))
    distance = np.maximum(distance, (angle - ends) * 60)
    distance = np.maximum(distance, (0.28 - angle) * 60)
    is_cartilage = np.clip((angle - 2.35) * 6, 0, 1)
    share = space.filled(distance)
    canvas.paint(share * (1 - is_cartilage), "cortex", cut)
    canvas.paint(share * is_cartilage, "cartilage", cut)
    canvas.paint(space.filled(distance + 2.6) * (1 - is_cartilage), "marrow", cut)


def paint_girdles(canvas: Canvas, trunk: Trunk) -> None:
    """Breastbone, collar bones, shoulder blades; sacrum, hips, sitting bones, thigh bones."""
    _bone_tube(canvas, [[0, 86, 75], [0, 92, 110], [0, 88, 160], [0, 72, 200]], [6, 8, 9, 13], 2.5)
    for side in (1, -1):
        _bone_tube(canvas, [[side * 12, 66, 206], [side * 60, 52, 222], [side * 110, 20, 236]], 6.5)
        _blade(canvas, side, trunk)
        _hip(canvas, side)
    cut = canvas.space.near((-60, -110, -220), (60, -30, -118))
    space = canvas.space.part(cut)
    middle = space.y - profile(space.z, SPINE)
    width = profile(space.z, {-215: 8, -190: 18, -160: 38, -124: 50})
    thick = profile(space.z, {-215: 5, -160: 12, -124: 19})
    sacrum = (np.sqrt((space.x / width) ** 2 + (middle / thick) ** 2) - 1) * thick
    _bone(canvas, np.maximum(sacrum, np.maximum(space.z + 127, -216 - space.z)), cut, 2.5)


def _blade(canvas: Canvas, side: int, trunk: Trunk) -> None:
    cut = canvas.space.near((-150, -110, 115), (150, -20, 235))
    space = canvas.space.part(cut)
    lateral = space.x * side
    width = profile(space.z, {115: 4, 140: 18, 190: 32, 225: 26})
    sheet = np.abs((space.y + 84) - (lateral - 88) * np.float32(0.75)) * np.float32(0.8) - 3.5
    blade = np.maximum.reduce(
        [sheet, np.abs(lateral - 96) - width, 118 - space.z, space.z - 226, trunk.wall[cut] + 5]
    )
    _bone(canvas, blade, cut, 3.5)


def _hip(canvas: Canvas, side: int) -> None:
    cut = canvas.space.near(
        (0, -110, -205) if side > 0 else (-150, -110, -205), (150, 80, -65) if side > 0 else (0, 80, -65)
    )
    space = canvas.space.part(cut)
    wing = _wing(space, side)
    _bone(canvas, wing, cut, 2.6)
    s = side
    _bone_tube(canvas, [[s * 62, -62, -125], [s * 78, -40, -155], [s * 90, -8, -186]], [9, 13, 22])
    _bone_tube(canvas, [[s * 80, 16, -190], [s * 45, 50, -202], [s * 9, 58, -214]], [12, 7.5, 9])
    _bone_tube(canvas, [[s * 84, -24, -200], [s * 66, -40, -228], [s * 60, -36, -245]], [14, 13, 12])
    canvas.ellipsoid("cartilage", (s * 97, -2, -192), (26, 26, 26))
    head = [[s * 98, -2, -193], [s * 99, -2, -193]]
    _bone_tube(canvas, head, 22.5, 1.8)
    _bone_tube(canvas, [[s * 98, -2, -193], [s * 130, -8, -216]], [14, 15], 2.5)
    _bone_tube(canvas, [[s * 136, -14, -208], [s * 132, -6, -232], [s * 126, 0, -275]], [14, 16, 14], 5.0)


def _wing(space: Space, side: int) -> np.ndarray:
    """Iliac wing: a part of a bowl that opens upwards and forwards."""
    lateral = space.x * side
    bowl = np.sqrt((lateral / 112) ** 2 + ((space.y - 10) / 90) ** 2 + ((space.z + 80) / 126) ** 2)
    sheet = np.abs(bowl - 1) * 100 - profile(space.z, {-190: 9, -140: 4, -85: 4, -70: 6})
    crest = -72 - 0.004 * (space.y + 20) ** 2 - space.z
    return np.maximum.reduce(
        [sheet, -crest, 48 - lateral, space.y - 36 - (space.z + 110) * np.float32(0.35), -188 - space.z]
    )
