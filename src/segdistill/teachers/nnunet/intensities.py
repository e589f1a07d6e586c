"""nnU-Net's normalisation of one channel, by the name that a plan gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from segdistill.errors import SegdistillError

TINY = 1e-8
Scheme = Callable[[np.ndarray, "np.ndarray | None", Mapping[str, float]], np.ndarray]


def _z_score(channel: np.ndarray, mask: np.ndarray | None, _: Mapping[str, float]) -> np.ndarray:
    """Mean 0, deviation 1; with a mask over and inside that alone, the rest as it is."""
    inside = channel if mask is None else channel[mask]
    mean, deviation = float(inside.mean(dtype=np.float64)), float(inside.std(dtype=np.float64))
    scaled = (channel - np.float32(mean)) / np.float32(max(deviation, TINY))
    return scaled if mask is None else np.where(mask, scaled, channel)


def _ct(channel: np.ndarray, _: np.ndarray | None, known: Mapping[str, float]) -> np.ndarray:
    """Clipped at the percentiles of the training cases' foreground, then by its mean and deviation."""
    clipped = np.clip(channel, np.float32(known["percentile_00_5"]), np.float32(known["percentile_99_5"]))
    return (clipped - np.float32(known["mean"])) / np.float32(max(known["std"], TINY))


def _none(channel: np.ndarray, _: np.ndarray | None, __: Mapping[str, float]) -> np.ndarray:
    return channel


def _rescale(channel: np.ndarray, _: np.ndarray | None, __: Mapping[str, float]) -> np.ndarray:
    """From the smallest value to the largest: 0 to 1."""
    raised = channel - channel.min()
    return raised / np.float32(max(float(raised.max()), TINY))


def _rgb(channel: np.ndarray, _: np.ndarray | None, __: Mapping[str, float]) -> np.ndarray:
    """Bytes: 0 to 255 become 0 to 1."""
    low, high = float(channel.min()), float(channel.max())
    if low < 0 or high > 255:
        raise SegdistillError(
            f"values from {low:g} to {high:g} are no bytes, which RGBTo01Normalization needs"
        )
    return channel / np.float32(255)


SCHEMES: dict[str, Scheme] = {
    "ZScoreNormalization": _z_score,
    "CTNormalization": _ct,
    "NoNormalization": _none,
    "RescaleTo01Normalization": _rescale,
    "RGBTo01Normalization": _rgb,
}
CT_NEEDS = ("mean", "std", "percentile_00_5", "percentile_99_5")


def normalise(
    channel: np.ndarray, scheme: str, mask: np.ndarray | None, known: Mapping[str, Any]
) -> np.ndarray:
    """One channel (*space) float32, normalised; a new array.

    Args:
        scheme: a name in `SCHEMES`.
        mask: True where the image is not empty, for a plan that normalises there alone.
        known: `foreground_intensity_properties_per_channel` of the plan for this channel.
    """
    return SCHEMES[scheme](channel, mask, known).astype(np.float32, copy=scheme == "NoNormalization")
