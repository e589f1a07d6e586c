"""Where the elements of an array lie in space."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Geometry:
    """The grid of an array as it lies in its file, axes in array order.

    shape: 2 numbers (rows, columns of a photograph) or 3 (x, y, z of a volume).
    affine: (4, 4), voxel index to millimetres in RAS+ (nibabel's convention); identity for photographs.
    """

    shape: tuple[int, ...]
    affine: np.ndarray

    @property
    def spacing(self) -> tuple[float, ...]:
        """Millimetres along each array axis."""
        columns = self.affine[:3, : len(self.shape)]
        return tuple(float(length) for length in np.sqrt((columns**2).sum(axis=0)))

    def same_grid(self, other: Geometry, tolerance: float = 1e-3) -> bool:
        """Whether both have the same shape and their corners coincide.

        tolerance: allowed distance of corners, as a fraction of the image's diagonal; never more than half of
        the smallest voxel side. A fraction, because rounded directions in a header do more to larger images.
        """
        if self.shape != other.shape:
            return False
        diagonal = float(np.linalg.norm(np.array(self.spacing) * self.shape))
        allowed = min(tolerance * diagonal, 0.5 * min(self.spacing))
        return self.distance(other) <= allowed

    def distance(self, other: Geometry) -> float:
        """Largest distance in mm between corners of the two grids, both taken with this one's shape."""
        ends = [(0, size - 1) for size in self.shape] + [(0,)] * (3 - len(self.shape)) + [(1,)]
        corners = np.array(list(itertools.product(*ends)), dtype=float).T
        difference = (self.affine - other.affine) @ corners
        return float(np.linalg.norm(difference[:3], axis=0).max())

    def describe(self) -> str:
        """Shape and spacing in words, for messages."""
        shape = " x ".join(str(size) for size in self.shape)
        spacing = " x ".join(f"{length:.4g}" for length in self.spacing)
        origin = ", ".join(f"{value:.4g}" for value in self.affine[:3, 3])
        return f"{shape} voxels of {spacing} mm from ({origin})"
