"""Lesion by lesion: which were found, how well, and what was found that is none.

A lesion is a connected component of a class's mask, with full connectivity: voxels that touch by a face, an edge or a
corner belong together. A predicted component finds a reference lesion where their IoU is above `LEAST_IOU`, the
criterion of PI-CAI (Saha et al., 2024, Lancet Oncology 25). Each finds at most one and is found at most once: of all
ways to pair them, that with the largest sum of IoU counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from segdistill.evaluation.metrics import IGNORE, bounding_box

LEAST_IOU = 0.1


def case_lesions(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    classes: Sequence[str],
    regions: bool = False,
    least_iou: float = LEAST_IOU,
) -> list[dict[str, Any]]:
    """Compare one prediction with its reference lesion by lesion: a row (a dict that JSON can hold) for each class.

    A row holds `class` and

    - `reference`: a list of the lesions, the largest first: `volume` (mm3; of 2-D images the area in mm2), `found`, and
      `dice` (0 to 1) with the component that found it, 0 where it was missed.
    - `false_positives`: what was found that is none, as pairs of a volume and how many have it, the largest first.

    Args:
        prediction: (L, *space) integers as in `metrics.case_metrics`.
        reference: of the same shape; voxels where it is -1 are taken out of both masks.
        spacing: mm along each axis.
        classes: names of the foreground classes (index 1 first), or of the regions.
        regions: whether the channels are overlapping regions.
        least_iou: IoU above which a component finds a lesion, in [0, 1).
    """
    voxel = float(np.prod(spacing))
    rows = []
    for index, name in enumerate(classes):
        channel, value = (index, 1) if regions else (0, index + 1)
        predicted = (prediction[channel] == value) & (reference[channel] != IGNORE)
        rows.append({"class": name, **_matched(predicted, reference[channel] == value, voxel, least_iou)})
    return rows


def _matched(prediction: np.ndarray, reference: np.ndarray, voxel: float, least_iou: float) -> dict[str, Any]:
    """The lesions and false positives of one pair of boolean masks."""
    box = bounding_box(prediction | reference)
    touching = np.ones((3,) * prediction.ndim)
    found, truth = (ndimage.label(mask[box], touching)[0] for mask in (prediction, reference))
    found_size, truth_size = np.bincount(found.ravel())[1:], np.bincount(truth.ravel())[1:]
    both = (found > 0) & (truth > 0)
    partner: dict[int, tuple[int, int]] = {}
    if both.any():
        pairs, shared = np.unique(np.stack([truth[both], found[both]]) - 1, axis=1, return_counts=True)
        partner = _pair(pairs, shared, truth_size, found_size, least_iou)
    lesions = []
    for lesion in np.argsort(-truth_size, kind="stable"):
        size, match = float(truth_size[lesion]), partner.get(int(lesion))
        dice = 2 * match[1] / (size + float(found_size[match[0]])) if match else 0.0
        lesions.append({"volume": size * voxel, "found": match is not None, "dice": dice})
    alone = np.delete(found_size, [other for other, _ in partner.values()])
    sizes, counts = np.unique(alone, return_counts=True)
    false = [[float(n * voxel), int(many)] for n, many in zip(sizes[::-1], counts[::-1], strict=True)]
    return {"reference": lesions, "false_positives": false}


def _pair(
    pairs: np.ndarray, shared: np.ndarray, truth_size: np.ndarray, found_size: np.ndarray, least_iou: float
) -> dict[int, tuple[int, int]]:
    """Of lesions that were found, by which component and how many voxels they share.

    Args:
        pairs: (2, N): a lesion and a component that overlap, and in `shared` (N,) by how many voxels.
    """
    iou = shared / (truth_size[pairs[0]] + found_size[pairs[1]] - shared)
    enough = iou > least_iou
    (truths, found), iou, shared = pairs[:, enough], iou[enough], shared[enough]
    rows, row = np.unique(truths, return_inverse=True)
    columns, column = np.unique(found, return_inverse=True)
    gain, overlap = np.zeros((len(rows), len(columns))), np.zeros((len(rows), len(columns)), int)
    gain[row, column], overlap[row, column] = iou, shared
    chosen = zip(*linear_sum_assignment(gain, maximize=True), strict=True)
    return {int(rows[r]): (int(columns[c]), int(overlap[r, c])) for r, c in chosen if gain[r, c] > 0}


@dataclass(frozen=True)
class LesionRow:
    """A row of `case_lesions`, read: the `reference` lesions and what was found that is none.

    `reference` holds volume (mm3, mm2 in 2-D), whether it was found, and Dice; `false_positives` volume and how many.
    """

    name: str  # of the class
    reference: tuple[tuple[float, bool, float], ...]
    false_positives: tuple[tuple[float, int], ...]

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> LesionRow:
        reference = tuple(
            (float(one["volume"]), bool(one["found"]), float(one["dice"])) for one in row["reference"]
        )
        false = tuple((float(volume), int(many)) for volume, many in row["false_positives"])
        return cls(str(row["class"]), reference, false)


def read_lesions(rows: Iterable[Mapping[str, Any]]) -> dict[str, tuple[LesionRow, ...]]:
    """By case, what metrics.json has under `lesions`.

    Raises:
        KeyError, TypeError or ValueError: rows of another form.
    """
    found: dict[str, tuple[LesionRow, ...]] = {}
    for row in rows:
        case = str(row["case"])
        found[case] = (*found.get(case, ()), LesionRow.from_dict(row))
    return found


@dataclass(frozen=True)
class Detection:
    """Lesions counted: those there are, those found, what was found that is none, and the mean Dice of the lesions."""

    lesions: int
    found: int
    false_positives: int
    dice: float | None  # of all lesions, 0 for those that were missed; None without lesions

    @property
    def recall(self) -> float | None:
        """The share of the lesions that was found."""
        return self.found / self.lesions if self.lesions else None

    @property
    def precision(self) -> float | None:
        """The share of what was found that is a lesion."""
        said = self.found + self.false_positives
        return self.found / said if said else None

    @property
    def f1(self) -> float | None:
        """2 TP / (2 TP + FP + FN); None where there is neither a lesion nor a false alarm."""
        total = self.lesions + self.found + self.false_positives
        return 2 * self.found / total if total else None


def detection(rows: Iterable[LesionRow], low: float = 0.0, high: float = float("inf")) -> Detection:
    """Count over rows, only what is larger than `low` and at most `high` (mm3, or mm2).

    A false alarm counts by its own volume.
    """
    rows = list(rows)
    lesions = [one for row in rows for one in row.reference if low < one[0] <= high]
    alarms = sum(many for row in rows for volume, many in row.false_positives if low < volume <= high)
    dice = float(np.mean([each for _, _, each in lesions])) if lesions else None
    return Detection(len(lesions), sum(found for _, found, _ in lesions), alarms, dice)


def terciles(rows: Iterable[LesionRow]) -> tuple[float, ...]:
    """Volumes that part the reference lesions into a small, a middle and a large third: (0, a, b, inf).

    Lesions of one volume stay together, so that there are fewer parts where many are alike; without lesions one.
    """
    volumes = [volume for row in rows for volume, _, _ in row.reference]
    inner = np.quantile(volumes, (1 / 3, 2 / 3), method="inverted_cdf") if volumes else ()
    cuts = sorted({float(cut) for cut in inner if cut < max(volumes)})
    return (0.0, *cuts, float("inf"))
