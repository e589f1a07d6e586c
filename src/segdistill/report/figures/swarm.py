"""Marks that would lie on each other, moved sideways until each is seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

Place = tuple[float, float]


def side_by_side(places: Sequence[Place], apart: float, reach: Sequence[float] = ()) -> list[Place]:
    """The places, those that come first the nearest to where they belong; no two are closer than `apart`.

    Each keeps its height. Sideways it tries where it belongs, then one step to the right, one to the left, and so on.

    Args:
        reach: how far the bar of each mark goes up and down; bars do not lie on each other either.
    """
    found: list[Place] = []
    tall = list(reach) or [0.0] * len(places)
    for number, (x, y) in enumerate(places):
        steps = (side * step for step in range(2 * len(places) + 1) for side in (1, -1))
        tried = ((x + apart * step, y) for step in steps)
        free = (
            one
            for one in tried
            if all(
                math.hypot(one[0] - a, max(abs(y - b) - tall[number] - tall[k], 0.0)) >= 0.999 * apart
                for k, (a, b) in enumerate(found)
            )
        )
        found.append(next(free))
    return found
