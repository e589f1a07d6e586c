"""Painting tissues into the maps that the scanners look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segdistill.data.phantom.space import Cut, Point, Space, ellipsoid, tube
from segdistill.data.phantom.tissues import Tissue


@dataclass(frozen=True)
class Canvas:
    """A patient being painted: what is painted later covers what was there.

    Attributes:
        space: the patient's coordinates.
        tissues: what the tissues look like in this patient.
        maps: (CT in HU, PET in SUV, MR signal, *space), changed in place.
    """

    space: Space
    tissues: dict[str, Tissue]
    maps: np.ndarray

    def paint(self, share: np.ndarray, tissue: str | Tissue, cut: Cut | None = None) -> None:
        """Replace the `share` (0..1) of each voxel of `cut` (None: all) by `tissue`."""
        look = self.tissues[tissue] if isinstance(tissue, str) else tissue
        part = self.maps if cut is None else self.maps[(slice(None), *cut)]
        for values, value in zip(part, (look.ct, look.pet, look.mr), strict=True):
            values += share * (np.float32(value) - values)

    def ellipsoid(
        self, tissue: str, centre: Point, radii: Point, tilt: float = 0.0, grow: float = 0.0
    ) -> None:
        """Paint an ellipsoid, `grow` mm larger than `radii` all around."""
        radii = [r + grow for r in radii]
        extent = [max(radii)] * 3 if tilt else radii
        cut = self.space.near(np.subtract(centre, extent).tolist(), np.add(centre, extent).tolist())
        part = self.space.part(cut)
        self.paint(part.filled(ellipsoid(part, centre, radii, tilt)), tissue, cut)

    def tube(self, tissue: str, points: Sequence[Point], radii: Sequence[float] | float) -> None:
        """Paint a tube through `points`."""
        widest = radii if isinstance(radii, (int, float)) else max(radii)
        low, high = np.min(points, axis=0) - widest, np.max(points, axis=0) + widest
        cut = self.space.near(low.tolist(), high.tolist())
        part = self.space.part(cut)
        self.paint(part.filled(tube(part, points, radii)), tissue, cut)
