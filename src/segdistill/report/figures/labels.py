"""Names beside points, where they cover neither each other nor what is drawn; a thin line leads to one further off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from segdistill.report.figures.style import INK

Place = tuple[float, float]
Stroke = tuple[Place, Place]

RINGS = (3, 13, 25, 38, 52, 68)  # points between a bubble's edge and its name, the nearest first
SIDES = (0, 180, 90, 270, 30, -30, 150, 210, 60, -60, 120, 240)  # degrees, the likest first
LED = 13  # from this ring on, a line leads from the name to its mark
LINE = {"arrowstyle": "-", "color": INK, "linewidth": 0.7, "alpha": 0.65, "shrinkA": 1, "shrinkB": 4}


def label_points(
    axes: Axes,
    texts: Sequence[str],
    places: Sequence[Place],
    areas: Sequence[float],
    size: float = 9,
    strokes: Sequence[Stroke] = (),
    marks: Sequence[Place] = (),
) -> None:
    """Write each name beside its bubble, as near as it covers no name, mark, bubble or stroke; else the least.

    Args:
        places: in data coordinates; the axes' limits are settled and the canvas was drawn once.
        areas: of the bubbles, in square points.
        size: of the letters, in points.
        strokes: lines that are not to be covered, from one place to another.
        marks: further points that have no name but are not to be covered either.
    """
    scale = axes.figure.dpi / 72
    at: list[Place] = [_seen(axes, place) for place in places]
    bubbles = [(x, y, scale * math.sqrt(area / math.pi)) for (x, y), area in zip(at, areas, strict=True)]
    taken = [_box(x, y, 5 * scale) for x, y in (*at, *(_seen(axes, mark) for mark in marks))]
    taken += [
        _box(x, y, scale) for start, end in strokes for x, y in _along(_seen(axes, start), _seen(axes, end))
    ]
    renderer = axes.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    for text, place, own in zip(texts, places, bubbles, strict=True):
        x, y, radius = own
        label = axes.text(*place, text, fontsize=size)
        extent = label.get_window_extent(renderer)
        best: tuple[float, Bbox, Any] | None = None
        for ring in RINGS:
            for side in SIDES:
                one = _beside(x, y, max(radius, 4 * scale) + ring * scale, side, extent)
                line = _along((x, y), _nearest(one, x, y)) if ring >= LED else []
                line = [point for point in line if math.dist(point, (x, y)) > max(radius, 8 * scale)]
                cost = _cost(axes.bbox, one, line, taken, bubbles) + ring / 100
                if best is None or cost < best[0]:
                    best = cost, one, ring
            if best is not None and best[0] < 1:
                break
        assert best is not None
        _, box, ring = best
        label.remove()
        near = _nearest(box, x, y)
        corner = ((box.x0 - x) / scale, (box.y0 - y) / scale)
        relative = ((near[0] - box.x0) / box.width, (near[1] - box.y0) / box.height)
        arrow = {**LINE, "relpos": relative} if ring >= LED else None
        axes.annotate(text, place, corner, textcoords="offset points", ha="left", va="bottom", fontsize=size,
                      zorder=6, arrowprops=arrow)  # fmt: skip
        taken.append(box)


def _seen(axes: Axes, place: Place) -> Place:
    x, y = axes.transData.transform(place)
    return float(x), float(y)


def _box(x: float, y: float, half: float) -> Bbox:
    return Bbox.from_bounds(x - half, y - half, 2 * half, 2 * half)


def _along(start: Place, end: Place, step: float = 4.0) -> list[Place]:
    """Points of a line from one place to another, a few pixels apart."""
    number = max(int(math.dist(start, end) / step), 1)
    return [
        (start[0] + (end[0] - start[0]) * k / number, start[1] + (end[1] - start[1]) * k / number)
        for k in range(number + 1)
    ]


def _beside(x: float, y: float, far: float, side: float, extent: Bbox) -> Bbox:
    """The box of a name whose nearest point lies so far from a place, on that side."""
    right, up = math.cos(math.radians(side)), math.sin(math.radians(side))
    px, py = x + far * right, y + far * up
    left = px - extent.width * (0.5 if abs(right) < 1e-6 else 0 if right > 0 else 1)
    low = py - extent.height * (0.5 if abs(up) < 1e-6 else 0 if up > 0 else 1)
    return Bbox.from_bounds(left, low, extent.width, extent.height)


def _nearest(box: Bbox, x: float, y: float) -> Place:
    return min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1)


def _cost(
    room: Bbox,
    box: Bbox,
    line: Sequence[Place],
    taken: Sequence[Bbox],
    bubbles: Sequence[tuple[float, float, float]],
) -> float:
    """How bad a place is for a name: below 1 where it covers nothing."""
    outside = box.x0 < room.x0 or box.x1 > room.x1 or box.y0 < room.y0 or box.y1 > room.y1
    covered = sum(1 for other in taken if box.overlaps(other))
    met = sum(1 for *at, radius in bubbles if math.dist(at, _nearest(box, *at)) < radius)
    crossed = sum(1 for point in line if any(other.contains(*point) for other in taken))
    through = sum(1 for point in line if any(math.dist(point, at) < radius for *at, radius in bubbles))
    return 100.0 * outside + 10 * covered + 4 * met + crossed + through
