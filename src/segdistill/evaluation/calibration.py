"""How far the probabilities of an answer can be believed: calibration error, Brier score, reliability bins.

A network that is 80 % sure should be right in 80 % of such voxels. What is judged are the probabilities as they are
delivered: on the grid of the image file, after the windows were blended and the maps brought back.

**Which voxels.** Most of an image is background, often such that a network is sure of it and right, and figures over a
whole image tell of little else. The figures of this project are therefore those *near* the structures: within
`MARGIN_MM` along each axis (at least one voxel) of the prediction or the reference, as Mehrtash et al. (2020, IEEE TMI
39) look at a structure's surroundings. Those of the whole image are kept beside them, for comparison with papers that
give these. Ignored voxels (-1) count in neither, nor do those that a crop had cut away, about which the network was not
asked.

**Classes.** Exclusive classes: the confidence is the probability of the likeliest class, background too, and it is
right where that is the reference (Guo et al., 2017, ICML: the error of the top label). Overlapping regions: each is a
problem of its own with two answers, absent and present, and their voxels are counted together. A threshold that a
recipe sets plays no role here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter

from segdistill.evaluation.metrics import IGNORE

BINS = 15
"""Bins of equal width over [0, 1]; a confidence on an edge belongs to the bin below it."""
EDGES = np.linspace(0, 1, BINS + 1)
MARGIN_MM = 5.0
"""How far from prediction and reference a voxel counts as near them."""
SLAB = 2**19  # voxels that are sorted into bins at once


@dataclass(frozen=True, eq=False)
class Bins:
    """Voxels by confidence. Bins of several cases are added: those of the sum are of all their voxels together."""

    n: np.ndarray  # voxels, bin by bin
    confidence: np.ndarray  # the sum of their confidences
    correct: np.ndarray  # how many of them are right
    squares: float  # the sum over all voxels of what the Brier score averages

    @classmethod
    def empty(cls) -> Bins:
        return cls(np.zeros(BINS), np.zeros(BINS), np.zeros(BINS), 0.0)

    @classmethod
    def of(cls, confidence: np.ndarray, correct: np.ndarray, squares: np.ndarray) -> Bins:
        """Of voxels, (N,) each: confidence in [0, 1], whether it is right, and sum over classes of (p - truth)^2."""
        sure = confidence.astype(np.float64)
        place = np.digitize(sure, EDGES[1:-1], right=True)
        n, sums, right = (
            np.bincount(place, weights=weights, minlength=BINS).astype(np.float64)
            for weights in (None, sure, correct)
        )
        return cls(n, sums, right, float(squares.sum(dtype=np.float64)))

    def __add__(self, other: Bins) -> Bins:
        return Bins(
            self.n + other.n,
            self.confidence + other.confidence,
            self.correct + other.correct,
            self.squares + other.squares,
        )

    @property
    def ece(self) -> float | None:
        """Expected calibration error, 0 to 1: the gap of confidence and accuracy, averaged over voxels bin by bin."""
        voxels = self.n.sum()
        return float(np.abs(self.correct - self.confidence).sum() / voxels) if voxels else None

    @property
    def brier(self) -> float | None:
        """Brier's score (1950), 0 to 2: the squared distance of all classes' probabilities from the truth, averaged.

        Of two answers (background and one class, or a region) it is twice what is often called so: (p - truth)^2.
        """
        voxels = self.n.sum()
        return float(self.squares / voxels) if voxels else None

    def to_dict(self) -> dict[str, Any]:
        """As metrics.json has it: `ece`, `brier` (None without voxels) and `bins`, whose `confidence` are sums."""
        bins = {
            "n": [int(n) for n in self.n],
            "confidence": [round(float(value), 3) for value in self.confidence],
            "correct": [int(n) for n in self.correct],
        }
        return {"ece": self.ece, "brier": self.brier, "bins": bins}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Bins:
        """The inverse of `to_dict`, but for rounding."""
        n, confidence, correct = (
            np.array(value["bins"][key], np.float64) for key in ("n", "confidence", "correct")
        )
        return cls(n, confidence, correct, float(value["brier"] or 0.0) * float(n.sum()))


class CaseCalibration:
    """Listens to the probabilities of one case, class by class, and sums up what they were worth.

    It keeps three numbers a voxel, whatever the number of classes; of overlapping regions none.

    Args:
        reference: (L, *space) int16: classes with L = 1, or 0/1 a region; -1 is ignored.
        spacing: mm along each axis.
        regions: whether the channels are overlapping regions.
    """

    def __init__(self, reference: np.ndarray, spacing: Sequence[float], regions: bool = False) -> None:
        self.reference, self.regions = reference, regions
        self.reach = [2 * max(1, math.floor(MARGIN_MM / step + 1e-6)) + 1 for step in spacing]
        self.near, self.image = Bins.empty(), Bins.empty()

    def listen(self, maps: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Pass on the maps (*space) of all classes, background first, or of all regions, and learn from them.

        The figures are there when the last was asked for.
        """
        if self.regions:
            for each, reference in zip(maps, self.reference, strict=True):
                there = reference == 1
                said = each > 0.5
                self._count(np.maximum(each, 1 - each), said == there, 2 * (each - there) ** 2,
                            (reference != IGNORE) & (each > 0), said | there)  # fmt: skip
                yield each
            return
        reference = self.reference[0]
        largest = np.zeros(reference.shape, np.float32)
        squares = np.zeros(reference.shape, np.float32)
        winner = np.zeros(reference.shape, np.int16)
        for index, each in enumerate(maps):
            miss = each - (reference == index)
            squares += np.multiply(miss, miss, out=miss)
            winner[each > largest] = index
            np.maximum(largest, each, out=largest)
            yield each
        asked = (reference != IGNORE) & (largest > 0)
        self._count(largest, winner == reference, squares, asked, (winner > 0) | (reference > 0))

    def _count(
        self,
        confidence: np.ndarray,
        correct: np.ndarray,
        squares: np.ndarray,
        asked: np.ndarray,
        there: np.ndarray,
    ) -> None:
        """Add the voxels that were asked for, and those of them near where something is `there`."""
        grown = maximum_filter(there.view(np.uint8), size=self.reach, mode="constant").view(bool)
        thick = max(1, SLAB // max(1, asked[:1].size))
        for start in range(0, len(asked), thick):
            slab = slice(start, start + thick)
            for_image = asked[slab]
            for_near = for_image & grown[slab]
            figures = confidence[slab], correct[slab], squares[slab]
            self.image += Bins.of(*(each[for_image] for each in figures))
            self.near += Bins.of(*(each[for_near] for each in figures))

    def to_dict(self) -> dict[str, Any]:
        """What metrics.json has of a case: `ece`, `brier` and `bins` near the structures, and those of the `image`."""
        return {**self.near.to_dict(), "image": self.image.to_dict()}


@dataclass(frozen=True)
class CaseBins:
    """The voxels of a case by confidence: those `near` the structures, and all of the `image`."""

    near: Bins
    image: Bins


def read_calibration(rows: Iterable[Mapping[str, Any]]) -> dict[str, CaseBins]:
    """By case, what metrics.json has under `calibration`.

    Raises:
        KeyError, TypeError or ValueError: rows of another form.
    """
    return {str(row["case"]): CaseBins(Bins.from_dict(row), Bins.from_dict(row["image"])) for row in rows}
