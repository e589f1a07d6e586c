"""What is known of one case, and all figures of an answer beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from segdistill.data.case_files import read_classes
from segdistill.data.dataset import Case, Dataset
from segdistill.data.geometry import Geometry
from segdistill.data.image import read_geometry
from segdistill.evaluation.calibration import CaseCalibration
from segdistill.evaluation.lesions import case_lesions
from segdistill.evaluation.metrics import IGNORE, case_metrics
from segdistill.evaluation.summary import LEAKING
from segdistill.run import Run

Rows = list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Reference:
    """The label of a case on the grid of its image: `classes` (L, *space) int16, `spacing` in mm along each axis."""

    case: str
    dataset: Dataset
    classes: np.ndarray
    spacing: tuple[float, ...]
    tolerance_mm: float
    mark: Mapping[str, bool]

    @classmethod
    def of(cls, case: Case, dataset: Dataset, run: Run, leaking: bool = False) -> Reference:
        """Read the label of a case.

        Args:
            run: its recipe says what counts, and how far a boundary may be off.
            leaking: a teacher of the run had learnt from the case: its rows are marked.

        Raises:
            SegdistillError: the label cannot be read, or does not lie on the grid of the image.
        """
        assert case.label is not None
        grid = read_geometry(case.images[0])
        classes = read_classes(case.label, dataset, case.images[0], grid)
        if run.recipe.evaluate.slices == "foreground":
            classes = _foreground_slices(classes, run, grid)
        mark = {LEAKING: True} if leaking else {}
        return cls(case.id, dataset, classes, grid.spacing, run.recipe.evaluate.tolerance_mm, mark)

    def metrics(self, answer: np.ndarray) -> Rows:
        """A row a class of `case_metrics`."""
        about = (self.spacing, self.dataset.classes, self.dataset.regions, self.tolerance_mm)
        return [{"case": self.case, **row, **self.mark} for row in case_metrics(answer, self.classes, *about)]

    def lesions(self, answer: np.ndarray) -> Rows:
        """A row a class of `case_lesions`."""
        about = (self.spacing, self.dataset.classes, self.dataset.regions)
        return [{"case": self.case, **row, **self.mark} for row in case_lesions(answer, self.classes, *about)]

    def listener(self) -> CaseCalibration:
        """To be told the probabilities."""
        return CaseCalibration(self.classes, self.spacing, self.dataset.regions)

    def calibration(self, listener: CaseCalibration) -> Rows:
        """One row, of what the listener was told."""
        return [{"case": self.case, **listener.to_dict(), **self.mark}]


def _foreground_slices(reference: np.ndarray, run: Run, geometry: Geometry) -> np.ndarray:
    """A reference in which the slices without any foreground are ignored."""
    slices = run.recipe.data.slices
    assert slices is not None  # the recipe was checked
    axis = 1 + run.plan.grid(geometry).axes[slices.axis]  # the file's own axes may stand in another order
    others = tuple(other for other in range(reference.ndim) if other != axis)
    empty = ~(reference > 0).any(axis=others, keepdims=True)
    return np.where(empty, np.int16(IGNORE), reference)
