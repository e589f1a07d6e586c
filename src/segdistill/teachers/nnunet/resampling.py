"""Resampling as nnU-Net's plans ask for it: splines axis by axis, and whole slices across coarse ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

ANISOTROPIC = 3.0  # spacings whose ratio is larger are resampled in plane and across by different rules
SPLINE, TORCH, NOTHING = "resample_data_or_seg_to_shape", "resample_torch_fornnunet", "no_resampling_hack"
SETTINGS = {
    SPLINE: ("is_seg", "order", "order_z", "force_separate_z", "separate_z_anisotropy_threshold"),
    TORCH: (
        "is_seg",
        "num_threads",
        "device",
        "memefficient_seg_resampling",
        "force_separate_z",
        "separate_z_anisotropy_threshold",
        "mode",
        "aniso_axis_mode",
    ),
    NOTHING: (),
}


@dataclass(frozen=True)
class Resampling:
    """What a plan says of resampling images: one of nnU-Net's functions and its settings.

    Attributes:
        function: `resample_data_or_seg_to_shape` (splines), `resample_torch_fornnunet` (linear) or
            `no_resampling_hack`.
        settings: `resampling_fn_data_kwargs` of the plan.
    """

    function: str
    settings: Mapping[str, Any]

    def unknown(self) -> str | None:
        """What of it is not known here; None: nothing."""
        if self.function not in SETTINGS:
            return f"resampling_fn_data {self.function}"
        strange = self.settings.keys() - set(SETTINGS[self.function])
        if strange:
            return f"resampling_fn_data_kwargs {', '.join(sorted(strange))}"
        if self.settings.get("mode", "linear") != "linear":
            return f"resampling_fn_data_kwargs mode {self.settings['mode']}"
        if self.settings.get("aniso_axis_mode", "nearest-exact") != "nearest-exact":
            return f"resampling_fn_data_kwargs aniso_axis_mode {self.settings['aniso_axis_mode']}"
        return None

    def apply(
        self, image: np.ndarray, shape: Sequence[int], spacing: Sequence[float], wanted: Sequence[float]
    ) -> np.ndarray:
        """Resample (C, *space) to (C, *shape) float32.

        Splines never leave the range of what they interpolate: the volume's, or where slices are resampled one by
        one, each slice's.

        Args:
            spacing: millimetres of the image's voxels.
            wanted: millimetres of the plan.
        """
        if tuple(image.shape[1:]) == tuple(shape) or self.function == NOTHING:
            return np.ascontiguousarray(image, np.float32)
        axis = self._apart(spacing, wanted)
        if self.function == TORCH:
            return _linear(image, shape, axis)
        order = int(self.settings.get("order", 3))
        if axis is None:
            return _clipped(image, shape, order, across=())
        in_plane = [*shape]
        in_plane[axis] = image.shape[1 + axis]
        out = _clipped(image, in_plane, order, across=(axis,))
        order_z = int(self.settings.get("order_z", 0))
        if order_z == 0:
            return np.take(out, _slices(image.shape[1 + axis], shape[axis]), axis=1 + axis)
        return _along(out, axis, _matrix(image.shape[1 + axis], shape[axis], order_z)).astype(np.float32)

    def _apart(self, spacing: Sequence[float], wanted: Sequence[float]) -> int | None:
        """The axis of the coarse slices, where there is exactly one."""
        forced = self.settings.get("force_separate_z", False if self.function == SPLINE else None)
        if forced is False:
            return None
        limit = self.settings.get("separate_z_anisotropy_threshold", ANISOTROPIC)
        for steps in (spacing,) if forced else (spacing, wanted):
            if forced or max(steps) / min(steps) > limit:
                coarse = [k for k, step in enumerate(steps) if max(steps) / step == 1]
                return coarse[0] if len(coarse) == 1 else None
        return None


def _clipped(image: np.ndarray, shape: Sequence[int], order: int, across: tuple[int, ...]) -> np.ndarray:
    """Splines along all axes that change, within the range of each channel (and slice `across`)."""
    changed = [k for k, n in enumerate(image.shape[1:]) if n != shape[k]]
    if not changed:
        return np.ascontiguousarray(image, np.float32)
    out = image.astype(np.float64)
    over = tuple(1 + k for k in range(len(shape)) if k not in across)
    low, high = out.min(axis=over, keepdims=True), out.max(axis=over, keepdims=True)
    for k in sorted(
        changed, key=lambda axis: shape[axis] / image.shape[1 + axis]
    ):  # shrink first: less to do
        out = _along(out, k, _matrix(image.shape[1 + k], shape[k], order))
    return np.clip(out, low, high).astype(np.float32)


def _along(array: np.ndarray, axis: int, matrix: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.tensordot(matrix, array, axes=(1, 1 + axis)), 0, 1 + axis)


@lru_cache(maxsize=32)
def _matrix(n: int, m: int, order: int) -> np.ndarray:
    """(m, n): what each of m output voxels takes from n input voxels; splines of scipy, edges prolonged."""
    # A spline of several axes is the product of splines of one: the answer to each unit vector says it all.
    answers = [ndimage.zoom(row, m / n, order=order, mode="nearest", grid_mode=True) for row in np.eye(n)]
    return np.stack(answers, axis=1)


def _slices(n: int, m: int) -> np.ndarray:
    """(m,): the input slice that lies nearest to each output slice."""
    centres = n / m * (np.arange(m) + 0.5) - 0.5
    return ndimage.map_coordinates(np.arange(n), centres[None], order=0, mode="nearest")


def _linear(image: np.ndarray, shape: Sequence[int], axis: int | None) -> np.ndarray:
    """PyTorch's interpolation: linear, or linear in plane and the nearest slice across `axis`."""
    volume = torch.from_numpy(np.ascontiguousarray(image, np.float32))
    if axis is None:
        return F.interpolate(volume[None], tuple(shape), mode="trilinear")[0].numpy()
    planes = volume.movedim(1 + axis, 1)  # (C, slices, *plane)
    plane = [n for k, n in enumerate(shape) if k != axis]
    resized = F.interpolate(planes, plane, mode="bilinear").movedim(1, 1 + axis)
    return F.interpolate(resized[None], tuple(shape), mode="nearest-exact")[0].numpy()
