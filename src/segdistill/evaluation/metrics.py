"""Overlap, boundary and volume metrics of one case, a row for each class.

Distances are MONAI's (exact Euclidean, between the boundary voxels of the two masks, in mm). A boundary voxel
is a mask voxel with a face neighbour outside of the mask or of the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from monai.metrics.utils import get_surface_distance
from scipy.ndimage import binary_erosion

from segdistill.errors import SegdistillError

METRICS = ("dice", "iou", "hd95", "assd", "nsd", "rvd")
"""The metrics of a row, in the order in which tables show them."""

IGNORE = -1


def case_metrics(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    classes: Sequence[str],
    regions: bool = False,
    tolerance_mm: float = 2.0,
) -> list[dict[str, Any]]:
    """Compare one prediction with its reference: a row (a dict that JSON can hold) for each class.

    A row holds `class` and

    - `dice`, `iou`: overlap, 0 to 1.
    - `hd95`: the larger of the two directed 95th percentiles of boundary distances, mm (MONAI's definition).
    - `assd`: the mean of the boundary distances of both directions taken together, mm.
    - `nsd`: normalised surface Dice (Nikolov et al., 2021), 0 to 1: the share of the boundary voxels of both
      masks that lie within `tolerance_mm` of the other boundary.
    - `rvd`: prediction volume / reference volume - 1; negative where the prediction is too small.
    - `reference_voxels`, `prediction_voxels`.

    An undefined value is None, never NaN. Both empty: every metric is None. Only one of them empty: Dice, IoU
    and NSD are 0, HD95 is the diagonal of the image in mm, ASSD is None; RVD is -1 for a missed structure and
    None where the reference is empty. Voxels where the reference is -1 are taken out of both masks before
    anything is counted; where a mask reaches them, its boundary runs along them.

    Args:
        prediction: (L, *space) integers, 2-D or 3-D: class indices with L = 1, or 0/1 with a channel for
            each region.
        reference: of the same shape; -1 is ignored.
        spacing: mm along each array axis.
        classes: names of the foreground classes (index 1 first), or of the regions.
        regions: whether the channels are overlapping regions.
        tolerance_mm: how far a boundary may be off and still count as right in `nsd`.

    Raises:
        SegdistillError: shapes, channels or spacing do not fit together.
    """
    _check(prediction, reference, spacing, classes, regions, tolerance_mm)
    rows = []
    for index, name in enumerate(classes):
        channel = index if regions else 0
        value = 1 if regions else index + 1
        counted = reference[channel] != IGNORE
        predicted = (prediction[channel] == value) & counted
        referred = reference[channel] == value
        rows.append({"class": name} | _mask_metrics(predicted, referred, spacing, tolerance_mm))
    return rows


def _mask_metrics(
    prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float], tolerance_mm: float
) -> dict[str, Any]:
    """The metrics of one pair of boolean masks."""
    diagonal = math.hypot(*(size * step for size, step in zip(prediction.shape, spacing, strict=True)))
    box = bounding_box(prediction | reference)
    prediction, reference = prediction[box], reference[box]
    predicted, referred = int(prediction.sum()), int(reference.sum())
    shared = int((prediction & reference).sum())
    row: dict[str, Any] = dict.fromkeys(METRICS)
    row |= {"reference_voxels": referred, "prediction_voxels": predicted}
    if predicted or referred:
        row["dice"] = 2 * shared / (predicted + referred)
        row["iou"] = shared / (predicted + referred - shared)
    if predicted and referred:
        row |= _boundary_metrics(prediction, reference, spacing, tolerance_mm)
    elif predicted or referred:
        row |= {"hd95": diagonal, "nsd": 0.0}
    if referred:
        row["rvd"] = predicted / referred - 1
    return row


def _boundary_metrics(
    prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float], tolerance_mm: float
) -> dict[str, float]:
    """HD95, ASSD and NSD of two masks that are not empty, from one computation of the distances."""
    edges = [mask & ~binary_erosion(mask) for mask in (prediction, reference)]
    steps = [float(step) for step in spacing]
    ways = [
        np.asarray(get_surface_distance(here, there, spacing=steps), dtype=np.float64)
        for here, there in (edges, edges[::-1])
    ]
    both = np.concatenate(ways)
    # Headers hold rounded spacings (0.99999994 for 1): a distance equal to the tolerance stays within it.
    reach = tolerance_mm * (1 + 1e-6)
    return {
        "hd95": float(max(np.percentile(way, 95) for way in ways)),
        "assd": float(both.mean()),
        "nsd": float((both <= reach).mean()),
    }


def bounding_box(mask: np.ndarray, margin: int = 1) -> tuple[slice, ...]:
    """Slices of the smallest box that holds every true voxel, and `margin` voxels more where the image has
    them.

    With a margin of one, a mask voxel lies on a face of the box only where it lies on that face of the image,
    so cutting to the box changes no boundary. Empty masks give an empty box.
    """
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        found = np.flatnonzero(mask.any(axis=others))
        if found.size == 0:
            return (slice(0, 0),) * mask.ndim
        box.append(slice(max(int(found[0]) - margin, 0), min(int(found[-1]) + 1 + margin, mask.shape[axis])))
    return tuple(box)


def _check(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    classes: Sequence[str],
    regions: bool,
    tolerance_mm: float,
) -> None:
    if prediction.shape != reference.shape:
        raise SegdistillError(
            f"the prediction has shape {prediction.shape} and the reference {reference.shape}; metrics need "
            "both on one grid: bring the prediction back to the grid of the image first"
        )
    if reference.ndim not in (3, 4) or len(spacing) != reference.ndim - 1:
        raise SegdistillError(
            f"labels of shape {reference.shape} with {len(spacing)} spacings; expected (channel, *space) in "
            "2-D or 3-D and one spacing in mm for each axis of space"
        )
    channels = len(classes) if regions else 1
    if reference.shape[0] != channels:
        raise SegdistillError(
            f"labels of shape {reference.shape} for {len(classes)} "
            f"{'regions' if regions else 'exclusive classes'}; expected {channels} channel(s)"
        )
    if not all(step > 0 and math.isfinite(step) for step in spacing):
        raise SegdistillError(
            f"the spacing {tuple(spacing)} is not positive; mend it in the header of the label"
        )
    if not (tolerance_mm >= 0 and math.isfinite(tolerance_mm)):
        raise SegdistillError(f"tolerance_mm is {tolerance_mm}; it must be 0 or more mm")
