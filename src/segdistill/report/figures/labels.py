"""Names beside points, where they cover neither each other nor a mark."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from segdistill.report.figures.style import PAPER


def label_points(
    axes: Axes,
    texts: list[str],
    places: list[tuple[float, float]],
    areas: list[float],
    size: float = 9,
) -> None:
    """Write each name beside its bubble, on the first side where it covers no other name and no mark.

    Args:
        places: in data coordinates; the axes' limits are settled and the canvas was drawn once.
        areas: of the bubbles, in square points.
        size: of the letters, in points.
    """
    scale = axes.figure.dpi / 72
    marks = [axes.transData.transform(place) for place in places]
    taken = [Bbox.from_bounds(x - 5 * scale, y - 5 * scale, 10 * scale, 10 * scale) for x, y in marks]
    renderer = axes.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    for text, place, area in zip(texts, places, areas, strict=True):
        far = max(min(math.sqrt(area / math.pi), 30), 4) + 3
        sides = [(far, 0, "left", "center"), (-far, 0, "right", "center"), (0, far, "center", "bottom")]
        sides += [(0, -far, "center", "top")]
        sides += [
            (x, y, h, "center")
            for y in (11, -11, 22, -22, 33, -33)
            for x, h in ((far, "left"), (-far, "right"))
        ]
        for number, (x, y, horizontal, vertical) in enumerate(sides):
            label = axes.annotate(text, place, (x, y), textcoords="offset points", ha=horizontal, va=vertical)
            label.set(fontsize=size, bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.7, "pad": 0.3})
            box = label.get_window_extent(renderer)
            inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1
            if number == len(sides) - 1 or (inside and not any(box.overlaps(other) for other in taken)):
                taken.append(box)
                break
            label.remove()
