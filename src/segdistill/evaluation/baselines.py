"""Answers that need no learning. A model's Dice means something only beside theirs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def all_background(reference: np.ndarray) -> np.ndarray:
    """The answer that there is nothing: int16 zeros of the shape of `reference`, classes or regions alike."""
    return np.zeros(reference.shape, dtype=np.int16)


def centred_ellipsoid(shape: Sequence[int], spacing: Sequence[float], margin_mm: float = 25.0) -> np.ndarray:
    """An ellipsoid (in 2-D an ellipse) on the centre of the image: what a crop by itself gives away.

    Its semi-axes are half of the image's extent less `margin_mm`, in mm along each axis. Where one of them is
    not above 0 the answer is empty. Images that were cut out around a lesion with a fixed margin, as in
    several public sets, let this answer score well above 0 although it never looks at a voxel.

    It is an answer for one class (or one region): with several there is no telling which of them the centre
    belongs to, so it is not offered there.

    Args:
        shape: voxels along each axis of space.
        spacing: mm along each axis.
        margin_mm: what the crop is believed to have left around its target.

    Returns:
        (1, *shape) int16, 1 inside of the ellipsoid and 0 outside.
    """
    radius = np.zeros(tuple(shape))
    for axis, (size, step) in enumerate(zip(shape, spacing, strict=True)):
        semi_axis = size * step / 2 - margin_mm
        if semi_axis <= 0:
            return np.zeros((1, *shape), dtype=np.int16)
        offset = (np.arange(size) - (size - 1) / 2) * step / semi_axis
        radius += (offset**2).reshape([-1 if other == axis else 1 for other in range(len(shape))])
    return (radius <= 1)[None].astype(np.int16)
