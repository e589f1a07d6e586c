"""Organs, vessels and bowel, with the uptake that healthy ones have."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from segdistill.data.phantom.canvas import Canvas
from segdistill.data.phantom.space import Point, ellipsoid, smooth_noise, tube
from segdistill.data.phantom.trunk import SPINE, Trunk


def _spine(z: float) -> float:
    return float(np.interp(z, list(SPINE), list(SPINE.values())))


def paint_belly(canvas: Canvas, rng: np.random.Generator) -> None:
    """Bowel, stomach, liver, gall bladder, spleen, kidneys with ureters, psoas muscles, great vessels."""
    _paint_bowel(canvas, rng)
    for side in (1, -1):
        points: list[Point] = [[side * 26, _spine(z) - 2, z] for z in (0, -40, -80, -120)]
        points += [[side * 62, 8, -165], [side * 88, 20, -205]]
        canvas.tube("muscle", points, [9.0, 14.0, 19.0, 21.0, 17.0, 12.0])
    _paint_upper_belly(canvas, rng)
    for side in (1, -1):
        _paint_kidney(canvas, rng, side)


def _paint_bowel(canvas: Canvas, rng: np.random.Generator) -> None:
    cut = canvas.space.near((-105, -25, -185), (105, 80, 5))
    space = canvas.space.part(cut)
    region = space.filled(ellipsoid(space, (0, 28, -85), (92, 44, 88)))
    loops = smooth_noise(rng, space.axes, 19)
    canvas.paint(region * np.clip(loops * 3 + 1.6, 0, 1), "bowel", cut)
    uptake = np.clip(smooth_noise(rng, space.axes, 30), 0, 3)
    canvas.maps[1][cut] += (
        region * np.clip(loops * 3, 0, 1) * uptake * np.float32(canvas.tissues["bowel"].pet * 0.6)
    )
    gas = np.clip((loops - 1.5) * 2 + (space.y - 35) / 40, 0, 1) * np.clip(loops * 2 - 1.6, 0, 1)
    canvas.paint(region * gas, "gas", cut)
    colon: dict[str, list[list[float]]] = {
        "up": [[88, -6, -130], [98, -4, -85], [94, 4, -40]],
        "across": [[94, 14, -40], [50, 62, -58], [-20, 66, -52], [-92, 20, -22]],
        "down": [[-92, 0, -22], [-104, -12, -75], [-98, -4, -125], [-60, 4, -160], [-14, -38, -172]],
    }
    for points in colon.values():
        points = [[a + rng.normal(0, 4) for a in point] for point in points]
        canvas.tube("bowel", points, float(rng.uniform(15, 19)))
        canvas.tube("stool", points, float(rng.uniform(9, 13)))
        for a, b in pairwise(points):
            if rng.random() < 0.6:
                t = rng.uniform(0.2, 0.8)
                place = [p + t * (q - p) for p, q in zip(a, b, strict=True)]
                canvas.ellipsoid("gas", (place[0], place[1] + 5, place[2]), (11, 7, 16))


def _paint_upper_belly(canvas: Canvas, rng: np.random.Generator) -> None:
    grow = float(rng.normal(0, 4))
    shift = rng.normal(0, 4, size=3)
    canvas.ellipsoid("stomach", (-58 + shift[0], 30, 12 + shift[2]), (36, 33, 44), tilt=-20)
    canvas.tube("stomach", [[-50, 40, -18], [-15, 48, -38], [18, 36, -30]], [24, 19, 13])
    canvas.ellipsoid("gas", (-60 + shift[0], 50, 22 + shift[2]), (22, 10, 24))
    canvas.tube(
        "gland", [[-80, -22, 5], [-35, 8, -10], [5, 14, -22], [24, 8, -40]], [9, 9, 10, 13]
    )  # pancreas
    canvas.ellipsoid("spleen", (-92, -34 + shift[1], 12), (26, 40, 44), tilt=12, grow=grow * 0.5)
    _paint_liver(canvas, rng, grow)
    canvas.ellipsoid("bile", (56, 48 + shift[1], -30), (13, 15, 22), tilt=10)
    canvas.tube(
        "blood", [[16, _spine(-110) + 34, -118], [20, _spine(-40) + 34, -40], [24, -6, 30], [26, 2, 66]], 11.0
    )
    canvas.tube("blood", [[12, 6, -30], [30, 12, -5], [52, 8, 8]], [8, 7.5, 5])  # portal vein
    aorta = [[-14, _spine(z) + 33, z] for z in (60, 10, -40, -88)]
    canvas.tube("blood", aorta, [11.5, 10.5, 9.5, 9])
    for side in (1, -1):
        canvas.tube(
            "blood",
            [
                [-8, _spine(-88) + 33, -88],
                [side * 40, -6, -140],
                [side * 68, 36, -205],
                [side * 74, 46, -245],
            ],
            6.5,
        )
        canvas.tube(
            "blood",
            [
                [16, _spine(-110) + 30, -110],
                [side * 44, -18, -142],
                [side * 60, 32, -205],
                [side * 66, 42, -245],
            ],
            7,
        )


def _paint_liver(canvas: Canvas, rng: np.random.Generator, grow: float) -> None:
    cut = canvas.space.near((-70, -90, -70), (130, 95, 75))
    space = canvas.space.part(cut)
    right = ellipsoid(space, (60, 4, 6), (62 + grow, 70, 60 + grow))
    left = ellipsoid(space, (8, 38, 26), (56 + grow, 36, 27), tilt=-12)
    # the underside rises to the left, the vena cava and the spine press from behind
    under = (-58 - grow + (60 - space.x) * np.float32(0.42) - space.z) * np.float32(0.85)
    behind = ellipsoid(space, (0, -46, 0), (42, 40, 90))
    liver = np.maximum.reduce([np.minimum(right, left), under, -behind])
    canvas.paint(space.filled(liver), "liver", cut)
    inside = space.filled(liver + 6)
    vessels: list[list[Point]] = [
        [[26, 0, 50], [55, 10, 42], [86, 14, 28]],
        [[26, 0, 50], [40, 36, 40], [44, 60, 24]],
        [[52, 8, 8], [76, -14, 2], [96, -22, -8]],
        [[52, 8, 8], [70, 34, 0], [84, 48, -12]],
    ]
    for points in vessels:
        canvas.paint(inside * space.filled(tube(space, points, [6.0, 4.5, 2.0])), "blood", cut)
    canvas.maps[1][cut] += inside * smooth_noise(rng, space.axes, 18) * np.float32(0.12)


def _paint_kidney(canvas: Canvas, rng: np.random.Generator, side: int) -> None:
    low = -8.0 if side > 0 else 0.0
    x, y, z = side * (58 + rng.normal(0, 3)), -34 + rng.normal(0, 3), -34 + low + rng.normal(0, 5)
    size = rng.normal(1, 0.06)
    canvas.ellipsoid("kidney", (x, y, z), (25 * size, 23 * size, 46 * size), tilt=-side * 12)
    canvas.ellipsoid("visceral fat", (x - side * 15, y + 5, z), (12, 9, 17))
    filled = rng.uniform(0.5, 1.0)
    canvas.ellipsoid("urine", (x - side * 10, y + 4, z), (8 * filled, 7 * filled, 14 * filled))
    ureter: list[Point] = [
        [x - side * 20, y + 6, z - 12],
        [side * 30, _spine(-90) + 32, -90],
        [side * 42, 0, -140],
        [side * 22, 14, -185],
    ]
    canvas.tube("muscle", ureter, 2.5)
    for t in rng.uniform(0, 1, size=rng.integers(0, 3)):  # peristalsis: a few hot drops
        a, b = (ureter[1], ureter[2]) if t > 0.5 else (ureter[0], ureter[1])
        place = [p + (2 * t % 1) * (q - p) for p, q in zip(a, b, strict=True)]
        canvas.ellipsoid("urine", place, (4, 4, 9))


def paint_pelvis(canvas: Canvas, rng: np.random.Generator) -> None:
    """Bladder, prostate or womb, rectum."""
    full = float(rng.uniform(0.7, 1.15))
    canvas.tube("bowel", [[-12, -34, -168], [0, -46, -195], [0, -36, -225]], [16, 17, 12])
    canvas.ellipsoid("gas", (0, -40, -192), (8, 8, 12))
    if rng.random() < 0.5:
        canvas.ellipsoid("gland", (0, 6, -224), (23, 18, 16))
    else:
        canvas.ellipsoid("gland", (rng.normal(0, 5), -2, -172), (24, 18, 32))
    canvas.ellipsoid("muscle", (0, 30, -192), (38 * full, 28 * full, 27 * full), grow=4)
    canvas.ellipsoid("urine", (0, 30, -192), (38 * full, 28 * full, 27 * full))


def paint_chest(canvas: Canvas, rng: np.random.Generator, trunk: Trunk) -> None:
    """Lung vessels, heart, great vessels, windpipe."""
    _paint_lung_vessels(canvas, rng, trunk)
    turn = rng.normal(0, 6)
    canvas.ellipsoid("mediastinum", (-20, 30, 80), (56, 46, 46), tilt=-30 + turn, grow=5)
    canvas.ellipsoid("blood", (2, 38, 82), (42, 36, 42), tilt=-20 + turn)
    canvas.ellipsoid("blood", (2, 4, 100), (36, 24, 27))
    canvas.ellipsoid("myocardium", (-38, 28, 72), (36, 33, 43), tilt=-38 + turn)
    canvas.ellipsoid("blood", (-34, 26, 77), (23, 20, 31), tilt=-38 + turn)
    canvas.tube("blood", [[-16, _spine(60) + 28, 40], [-22, _spine(120) + 24, 120], [-20, -26, 168]], 11.5)
    canvas.tube("blood", [[-20, -26, 168], [-6, 4, 184], [12, 28, 168], [10, 34, 118]], [12, 13, 14, 15])
    canvas.tube("blood", [[24, 22, 205], [25, 18, 150], [24, 14, 104]], 10)
    canvas.tube("blood", [[-8, 40, 116], [-12, 16, 140], [-42, -4, 136]], [14, 13, 9])
    canvas.tube("blood", [[-12, 14, 140], [14, 4, 136], [44, -4, 128]], [12, 10, 9])
    for side in (1, -1):
        canvas.tube("blood", [[side * 8, 14, 186], [side * 22, 10, 215], [side * 20, 6, 250]], 6)
    canvas.tube("muscle", [[-6, -22, 230], [-8, -30, 150], [-12, -24, 70]], 7)  # gullet
    canvas.ellipsoid("gland", (8, 4, 232), (24, 12, 14))  # thyroid, lower poles
    windpipe = [[0, 2, 255], [0, -6, 200], [0, -10, 158]]
    canvas.tube("cartilage", windpipe, 10.5)
    canvas.tube("gas", windpipe, 8)
    for side in (1, -1):
        canvas.tube("gas", [[0, -10, 158], [side * 22, -12, 138], [side * 46, -14, 120]], [7.5, 6, 4])


def _paint_lung_vessels(canvas: Canvas, rng: np.random.Generator, trunk: Trunk) -> None:
    for side in (1, -1):
        cut = canvas.space.near(
            (15, -85, 0) if side > 0 else (-130, -85, 0), (130, 85, 225) if side > 0 else (-15, 85, 225)
        )
        space = canvas.space.part(cut)
        distance = np.full(space.x.shape, 50, np.float32)
        for _ in range(16):
            way = rng.normal(size=3) * (1, 1, 1.3)
            way[0] = side * abs(way[0])
            way /= np.linalg.norm(way)
            root = np.array([side * 38, -6, 128 + way[2] * 12])
            bend = rng.normal(0, 9, size=3)
            points = [root.tolist(), (root + way * 35 + bend).tolist(), (root + way * 85).tolist()]
            np.minimum(distance, tube(space, points, [7.5, 4.0, 1.0]), out=distance)
        canvas.paint(space.filled(distance) * trunk.lungs[cut] * np.float32(0.85), "blood", cut)
