"""Tumours: where they grow, their shape, uptake and dead core, and which scanner sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segdistill.data.phantom.canvas import Canvas
from segdistill.data.phantom.space import ellipsoid, smooth_noise
from segdistill.data.phantom.tissues import Tissue

MODALITIES = ("CT", "PET", "MR")


@dataclass(frozen=True)
class Region:
    """Where tumours may grow: around `centre` within `spread` mm, on either side where `mirrored`.

    A tumour here can look like what is around it to the scanners in `hides_from`.
    """

    centre: tuple[float, float, float]
    spread: tuple[float, float, float]
    mirrored: bool
    hides_from: tuple[str, ...]
    weight: float


REGIONS = {
    "lung": Region((76, -5, 120), (26, 42, 45), True, ("PET", "MR"), 3.0),
    "mediastinum": Region((24, 0, 140), (12, 20, 26), True, ("PET", "MR"), 1.5),
    "liver": Region((62, 8, 8), (32, 38, 26), False, MODALITIES, 2.0),
    "retroperitoneum": Region((32, 2, -70), (14, 10, 45), True, ("PET", "MR"), 1.5),
    "belly": Region((50, 36, -80), (30, 18, 40), True, ("PET", "MR"), 1.5),
    "pelvis": Region((56, -4, -168), (16, 22, 20), True, ("PET", "MR"), 1.5),
    "buttock": Region((78, -72, -165), (26, 10, 30), True, MODALITIES, 2.0),
    "flank": Region((112, -30, -45), (8, 22, 25), True, MODALITIES, 1.0),
    "vertebra": Region((0, -45, -10), (8, 6, 100), False, MODALITIES, 1.0),
    "armpit": Region((122, 4, 195), (9, 18, 16), True, ("PET", "MR"), 1.0),
}


@dataclass(frozen=True)
class Tumour:
    """What was drawn of one tumour: place in the average anatomy and radius in mm, SUV, what shows it."""

    region: str
    centre: tuple[float, float, float]
    radius: float
    suv: float
    necrotic: bool
    visible: tuple[str, ...]


def draw_tumours(
    rng: np.random.Generator, canvas: Canvas, body: np.ndarray, modalities: Sequence[str], difficulty: float
) -> list[Tumour]:
    """One tumour that every scanner shows, and up to three more, some of which only one scanner shows.

    Args:
        rng: source of the random numbers.
        canvas: the patient; tumours lie within its field of view.
        body: signed distance to the body.
        modalities: scanners at hand.
        difficulty: 0..1; tumours get smaller, colder, and are more often seen by one scanner only.
    """
    tumours: list[Tumour] = []
    for number in range(1 + int(rng.integers(0, 4))):
        alone = number > 0 and len(modalities) > 1 and rng.random() < 0.25 + 0.35 * difficulty
        visible = (modalities[int(rng.integers(len(modalities)))],) if alone else tuple(modalities)
        shrink = 1 - 0.4 * difficulty
        radius = float(rng.uniform(27, 46) * shrink if number == 0 else rng.uniform(12, 20) * shrink)
        radius = max(radius, 1.15 * canvas.space.step)
        names = [n for n, r in REGIONS.items() if set(modalities) - set(visible) <= set(r.hides_from)]
        place = _draw_place(rng, canvas, body, names, radius, tumours)
        if place is not None:
            suv = max(float(rng.lognormal(np.log(10.5 - 5.5 * difficulty), 0.3)), 2.8)
            necrotic = bool(radius > 15 and rng.random() < 0.3 + 0.4 * difficulty)
            tumours.append(Tumour(*place, radius, suv, necrotic, visible))
    return tumours


def _draw_place(
    rng: np.random.Generator,
    canvas: Canvas,
    body: np.ndarray,
    names: list[str],
    radius: float,
    others: list[Tumour],
) -> tuple[str, tuple[float, float, float]] | None:
    """A free place within the field of view: in one of the regions, else anywhere in the body."""
    space = canvas.space
    weights = np.array([REGIONS[name].weight for name in names])
    for attempt in range(60):
        name = names[rng.choice(len(names), p=weights / weights.sum())]
        region = REGIONS[name]
        centre = np.array(region.centre) + rng.uniform(-1, 1, size=3) * region.spread
        if region.mirrored and rng.random() < 0.5:
            centre[0] = -centre[0]
        if attempt >= 40:
            inside = np.flatnonzero(body < -10)
            if len(inside) == 0:
                return None
            voxel = inside[rng.integers(len(inside))]
            centre = np.array([a.flat[voxel] for a in (space.x, space.y, space.z)], dtype=float)
        rim = [(axis[0] + space.step, axis[-1] - space.step) for axis in space.axes]
        seen = all(
            low + 0.5 * radius <= c <= high - 0.5 * radius for c, (low, high) in zip(centre, rim, strict=True)
        )
        free = all(np.linalg.norm(centre - o.centre) > radius + o.radius + 2 * space.step for o in others)
        if (seen or attempt >= 50) and (free or not others):
            return name, (float(centre[0]), float(centre[1]), float(centre[2]))
    return None


def paint_tumour(
    canvas: Canvas,
    rng: np.random.Generator,
    tumour: Tumour,
    body: np.ndarray,
    iodine: float,
    difficulty: float,
) -> np.ndarray:
    """Paint one tumour into the scanners that show it; returns its mask over the whole grid."""
    radius, centre = tumour.radius, np.array(tumour.centre)
    cut = canvas.space.near((centre - 2 * radius).tolist(), (centre + 2 * radius).tolist())
    space = canvas.space.part(cut)
    distance = np.full(space.x.shape, np.inf, np.float32)
    for lobe in range(int(rng.integers(1, 4))):
        size = radius * (1 if lobe == 0 else rng.uniform(0.5, 0.8))
        away = rng.normal(0, 0.45, size=3) * radius * (lobe > 0)
        radii = size * np.clip(rng.lognormal(0, 0.2, size=3), 0.65, 1.5)
        one = ellipsoid(space, (centre + away).tolist(), radii.tolist(), tilt=float(rng.uniform(-90, 90)))
        distance = np.minimum(distance, one)
    distance += np.float32(0.2 * radius) * smooth_noise(rng, space.axes, 0.7 * radius)
    distance = np.maximum(distance, body[cut] + 3)
    distance -= max(
        float(distance.min()) + 0.3 * canvas.space.step, 0
    )  # a tumour of no voxel would be no tumour
    mask = np.zeros(body.shape, dtype=bool)
    mask[cut] = distance < 0
    share = space.filled(distance)
    uneven = np.clip(1 + 0.22 * smooth_noise(rng, space.axes, 0.5 * radius), 0.45, 1.6)
    core = np.zeros_like(share)
    if tumour.necrotic:
        ragged = smooth_noise(rng, space.axes, 0.6 * radius) * np.float32(0.15 * radius)
        core = space.filled(distance + ragged + np.float32(rng.uniform(0.35, 0.6) * radius))
    look = _look(rng, canvas, tumour, iodine, difficulty)
    for channel, (value, dead) in enumerate(zip(look, (18.0, 0.9, 0.22), strict=True)):
        if MODALITIES[channel] in tumour.visible:
            grown = value * uneven if channel == 1 else np.float32(value)
            values = canvas.maps[channel][cut]
            values += share * (grown + core * (np.float32(dead) - grown) - values)
    return mask


def _look(
    rng: np.random.Generator, canvas: Canvas, tumour: Tumour, iodine: float, difficulty: float
) -> tuple[float, float, float]:
    around: Tissue = canvas.tissues["liver" if tumour.region == "liver" else "muscle"]
    clear = 1 - 0.75 * difficulty
    sign = -1 if tumour.region == "liver" or rng.random() < 0.3 else 1
    ct = around.ct + sign * clear * (32 + 14 * iodine) + rng.normal(0, 4)
    if tumour.region == "vertebra":
        ct = rng.choice([70.0, 600.0])  # eats the bone away, or hardens it
    mr = 0.33 - 0.1 * clear + rng.normal(0, 0.015)
    return float(ct), tumour.suv, float(mr)
