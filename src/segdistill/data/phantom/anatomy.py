"""One synthetic patient: what each scanner would see if it were perfect, and where the tumour is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segdistill.data.phantom import organs, skeleton
from segdistill.data.phantom.canvas import Canvas
from segdistill.data.phantom.space import Space, smooth_noise
from segdistill.data.phantom.tissues import draw_tissues
from segdistill.data.phantom.trunk import couch, paint_trunk
from segdistill.data.phantom.tumours import Tumour, draw_tumours, paint_tumour


@dataclass(frozen=True)
class Patient:
    """A patient on a grid.

    Attributes:
        maps: (CT in HU, PET in SUV, MR signal, *space) without blur or noise.
        body: signed distance (mm) to the muscular wall of the trunk; negative inside.
        label: 1 in tumours.
        tumours: what was drawn.
    """

    maps: np.ndarray
    body: np.ndarray
    label: np.ndarray
    tumours: tuple[Tumour, ...]


def make_patient(
    rng: np.random.Generator,
    axes: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    modalities: Sequence[str],
    iodine: float,
    difficulty: float,
) -> Patient:
    """Draw and paint one patient.

    Args:
        rng: source of the random numbers.
        axes: positions of the voxels in mm, from the middle of an average trunk (right, front, head).
        modalities: scanners that will look ("CT", "PET", "MR"); decides what a tumour may hide from.
        iodine: amount of contrast agent in the CT.
        difficulty: 0..1.
    """
    build, about, grow = rng.spawn(3)
    fat = float(np.clip(build.gamma(6, 2.0), 6, 20))
    space = _posture(build, axes)
    maps = np.zeros((3, *space.x.shape), np.float32)
    canvas = Canvas(space, draw_tissues(about, iodine, difficulty), maps)
    maps[0] = -1000
    canvas.paint(couch(space, 132 + 0.6 * fat), "couch")
    trunk = paint_trunk(canvas, about, fat)
    organs.paint_belly(canvas, about)
    organs.paint_chest(canvas, about, trunk)
    skeleton.paint_ribs(canvas, trunk)
    skeleton.paint_spine(canvas)
    skeleton.paint_girdles(canvas, trunk)
    organs.paint_pelvis(canvas, about)
    tumours = draw_tumours(grow, canvas, trunk.wall, modalities, difficulty)
    label = np.zeros(space.x.shape, np.uint8)
    for tumour in tumours:
        label[paint_tumour(canvas, grow, tumour, trunk.wall, iodine, difficulty)] = 1
    return Patient(maps, trunk.wall, label, tuple(tumours))


def _posture(rng: np.random.Generator, axes: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Space:
    """Coordinates of the average anatomy at each voxel: own size, shift, slight turn, smooth irregularity."""
    size = np.clip(rng.normal(1, 0.04), 0.92, 1.07) * np.clip(rng.normal(1, (0.03, 0.04, 0.03)), 0.93, 1.06)
    shift = rng.normal(0, (5, 4, 9))
    turn = np.radians(rng.normal(0, 1.5))
    x, y, z = np.meshgrid(*(a.astype(np.float32) for a in axes), indexing="ij")
    x, y, z = ((a - np.float32(s)) / np.float32(f) for a, s, f in zip((x, y, z), shift, size, strict=True))
    cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    x, y = x * cosine - y * sine, x * sine + y * cosine
    for place, strength in ((x, 3.5), (y, 3.0), (z, 4.0)):
        place += np.float32(strength) * smooth_noise(rng, axes, 85)
    step = float(np.prod([a[1] - a[0] if len(a) > 1 else 1.0 for a in axes]) ** (1 / 3))
    return Space(axes, x, y, z, step, margin=42)
