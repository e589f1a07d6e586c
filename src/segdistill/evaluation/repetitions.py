"""Whether a difference holds from one training to the next: one number a run (a seed, or a fold), not a case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from segdistill.evaluation.statistics import ROUNDING

FEWEST = 3  # repetitions; of two a t-test has one degree of freedom


@dataclass(frozen=True)
class Repetitions:
    """The differences of repeated trainings to what they are compared with.

    `agreeing` of the `differences` have the sign of the whole. `p` is two-sided, of the t-test of their mean against 0
    (a paired t-test where the other was repeated, too): what the choice of the seeds may explain, which a test over
    cases cannot tell. None below three, where all differences are the same, or where they were not to be tested.
    """

    differences: tuple[float, ...]
    agreeing: int
    p: float | None

    @property
    def n(self) -> int:
        return len(self.differences)

    @property
    def unanimous(self) -> bool:
        return self.agreeing == self.n


def repetitions(
    differences: Sequence[float], *, whole: float | None = None, tested: bool = True
) -> Repetitions:
    """Count the mean differences, one for each run; at least one.

    Args:
        whole: the difference over all runs, which is another where one side was trained more often; None: their mean.
        tested: also test them: they are independent, that is of trainings that share neither data nor what they are
            compared with.
    """
    values = np.asarray(differences, dtype=np.float64)
    agreeing = int((np.sign(values) == np.sign(values.mean() if whole is None else whole)).sum())
    varied = len(values) >= FEWEST and np.ptp(values) > ROUNDING * max(1.0, float(np.abs(values).max()))
    p = float(stats.ttest_1samp(values, 0.0).pvalue) if tested and varied else None
    return Repetitions(tuple(values.tolist()), agreeing, p)
