"""Resampling of arrays between two grids that cover the same field of view.

Voxel i of n covers the stretch from i/n to (i + 1)/n, so the centre of output voxel i lies at input
coordinate (i + 1/2) n_in / n_out - 1/2. Beyond the outermost voxel centres the outermost value holds.
Nothing is smoothed before downsampling.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np

Order = Literal["nearest", "linear", "cubic"]


def resample(
    array: np.ndarray, shape: tuple[int, ...], order: Order, nearest_along: int | None = None
) -> np.ndarray:
    """Resample (C, *space) to (C, *shape) float32, axis by axis.

    A tensor-product interpolation is one small matrix for each axis, which costs far less than visiting the
    neighbourhood of each voxel. `cubic` is the natural spline: exact for ramps up to the border.

    Args:
        nearest_along: the space axis along which whole slices are taken, whatever the order.
    """
    out = np.ascontiguousarray(array, np.float32)
    changed = [k for k in range(len(shape)) if out.shape[1 + k] != shape[k]]
    for k in sorted(
        changed, key=lambda axis: shape[axis] / array.shape[1 + axis]
    ):  # shrink first: less to do
        n = out.shape[1 + k]
        if order == "nearest" or k == nearest_along:
            out = np.take(out, (2 * np.arange(shape[k]) + 1) * n // (2 * shape[k]), axis=1 + k)
        else:
            before, after = math.prod(out.shape[: 1 + k]), math.prod(out.shape[2 + k :])
            mixed = np.matmul(_weights(n, shape[k], order), out.reshape(before, n, after))
            out = mixed.reshape(*out.shape[: 1 + k], shape[k], *out.shape[2 + k :])
    return out


@lru_cache(maxsize=64)
def _weights(n: int, m: int, order: Order) -> np.ndarray:
    """(m, n): what each of m output voxels takes from n input voxels."""
    from scipy.interpolate import CubicSpline, make_interp_spline

    if n == 1:
        return np.ones((m, 1), np.float32)
    centres = np.clip((np.arange(m) + 0.5) * n / m - 0.5, 0, n - 1)
    if order == "cubic":
        return CubicSpline(np.arange(n), np.eye(n), bc_type="natural")(centres).astype(np.float32)
    return make_interp_spline(np.arange(n), np.eye(n), k=1)(centres).astype(np.float32)
