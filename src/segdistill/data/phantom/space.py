"""The space of one synthetic patient: coordinates in mm, smooth noise, and distances to simple solids.

Axes are x to the patient's right, y to the front, z to the head, in mm from the middle of the trunk.
Distances are negative inside, in mm, exact enough near the surface to give the share of a voxel that is
filled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Point = Sequence[float]
Cut = tuple[slice, slice, slice]


def smooth_noise(rng: np.random.Generator, axes: Sequence[np.ndarray], scale: float) -> np.ndarray:
    """Noise of mean 0 and standard deviation about 1 whose lumps are about `scale` mm wide.

    A cubic B-spline over random control points: the same pattern however finely a stretch is sampled.

    Args:
        rng: source of the random numbers.
        axes: positions in mm along x, y and z.
        scale: distance of the control points in mm.
    """
    count = [int(np.ceil((axis[-1] - axis[0]) / scale)) + 4 for axis in axes]
    noise = rng.standard_normal(count, dtype=np.float32)
    for axis in axes:
        position = (axis - axis[0]) / scale + 1
        away = np.abs(position[:, None] - np.arange(noise.shape[0])[None, :])
        near, far = 2 / 3 - away**2 + away**3 / 2, np.clip(2 - away, 0, None) ** 3 / 6
        weights = np.where(away < 1, near, far).astype(np.float32)
        noise = np.tensordot(noise, weights, axes=(0, 1))  # the axis done goes last, so the next comes first
    return np.ascontiguousarray(noise / np.float32(0.48**1.5))


@dataclass(frozen=True)
class Space:
    """Where each voxel lies in the anatomy, after the patient's own size, posture and irregularity.

    Attributes:
        axes: position of the voxels in mm along each array axis.
        x, y, z: place of every voxel in the average anatomy, mm.
        step: side of a voxel in mm (geometric mean): the width over which an edge is spread.
        margin: mm by which `x`, `y`, `z` may differ from `axes`.
    """

    axes: tuple[np.ndarray, np.ndarray, np.ndarray]
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    step: float
    margin: float

    def near(self, low: Point, high: Point) -> Cut:
        """The part of the grid that can hold a solid between the corners `low` and `high`."""
        spread = self.margin + 2 * self.step
        bounds = (
            np.searchsorted(axis, (a - spread, b + spread))
            for axis, a, b in zip(self.axes, low, high, strict=True)
        )
        first, second, third = (slice(int(a), int(b)) for a, b in bounds)
        return first, second, third

    def part(self, cut: Cut) -> Space:
        """The same space, only the voxels of `cut`."""
        axes = self.axes[0][cut[0]], self.axes[1][cut[1]], self.axes[2][cut[2]]
        return Space(axes, self.x[cut], self.y[cut], self.z[cut], self.step, self.margin)

    def filled(self, distance: np.ndarray) -> np.ndarray:
        """Share (0..1) of each voxel inside a solid at signed `distance`."""
        return np.clip(np.float32(0.5) - distance / np.float32(self.step), 0, 1)


def ellipsoid(space: Space, centre: Point, radii: Point, tilt: float = 0.0) -> np.ndarray:
    """Signed distance to an ellipsoid turned by `tilt` degrees about y (positive: the top leans right)."""
    x, y, z = space.x - centre[0], space.y - centre[1], space.z - centre[2]
    if tilt:
        cosine, sine = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
        x, z = np.float32(cosine) * x - np.float32(sine) * z, np.float32(sine) * x + np.float32(cosine) * z
    scaled = [a / np.float32(r) for a, r in zip((x, y, z), radii, strict=True)]
    length = np.sqrt(sum(a * a for a in scaled))
    gradient = np.sqrt(sum((a / np.float32(r)) ** 2 for a, r in zip(scaled, radii, strict=True)))
    return np.asarray(
        np.where(length > 1e-3, length * (length - 1) / (gradient + 1e-6), -min(radii)), np.float32
    )


def tube(space: Space, points: Sequence[Point], radii: Sequence[float] | float) -> np.ndarray:
    """Signed distance to a tube through `points`, its radius going linearly from one to the next."""
    widths = [float(radii)] * len(points) if isinstance(radii, (int, float)) else list(radii)
    nearest = np.full(space.x.shape, np.inf, dtype=np.float32)
    for start, end, first, last in zip(points[:-1], points[1:], widths[:-1], widths[1:], strict=True):
        way = np.subtract(end, start).astype(np.float32)
        from_start = [a - np.float32(b) for a, b in zip((space.x, space.y, space.z), start, strict=True)]
        along = sum(a * w for a, w in zip(from_start, way, strict=True)) / np.float32(max(way @ way, 1e-6))
        along = np.clip(along, 0, 1)
        away = np.sqrt(sum((a - along * w) ** 2 for a, w in zip(from_start, way, strict=True)))
        np.minimum(nearest, away - (np.float32(first) + np.float32(last - first) * along), out=nearest)
    return nearest


def profile(z: np.ndarray, knots: Mapping[int, float]) -> np.ndarray:
    """Value at each height `z`, by linear interpolation between `knots` (height: value, from low to high)."""
    return np.interp(z, list(knots), list(knots.values())).astype(np.float32)
