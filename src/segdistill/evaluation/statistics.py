"""Two models on the same cases: is the difference more than chance, and how large is it?

Cases are the unit. Several seeds of one recipe are averaged within each case first (`average_seeds`): seeds
are not more patients, and counting them as such would make every p-value too small.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

Values = Mapping[str, float | None]
"""One number for each case; None (or NaN) where it is undefined."""

FEWEST = 3
"""Below this number of cases there is neither an interval nor a p-value."""

ROUNDING = 1e-6
"""Differences that are apart by less than this part of the largest value are the same.

A score that was printed, or computed in single precision, has six or seven digits. A smaller spread is of how numbers
were written, not of patients, and a t-test would take it for certainty. It is a part of the values, whose size decides
how they are rounded: so it suits shares, percents and millimetres.
"""

NOTHING = 1e-12  # of any unit: no score is so small, and squares of smaller ones are rounded to 0


@dataclass(frozen=True)
class Paired:
    """The comparison of `a` with `b` on the cases that both have.

    `difference` is the mean of a - b and `interval` its bootstrap interval (`method`: BCa, or percentile
    where BCa is undefined); `effect` is Cohen's d of the differences (mean / sample standard deviation).
    `left_out` are the cases that only one of them has or where a value is undefined. None: cannot be told
    from these cases.
    """

    n: int
    mean_a: float | None
    mean_b: float | None
    difference: float | None
    interval: tuple[float, float] | None
    confidence: float
    method: str | None
    t_p: float | None
    wilcoxon_p: float | None
    effect: float | None
    left_out: tuple[str, ...]


def average_seeds(runs: Sequence[Values]) -> dict[str, float | None]:
    """Average the values of several runs (seeds, or folds that test different cases) within each case.

    A case is averaged over those runs that have a value for it, and is None where none has.
    """
    cases = dict.fromkeys(case for run in runs for case in run)
    averages: dict[str, float | None] = {}
    for case in cases:
        found = [value for run in runs if (value := _defined(run.get(case))) is not None]
        averages[case] = float(np.mean(found)) if found else None
    return averages


def paired(a: Values, b: Values, *, confidence: float = 0.95, resamples: int = 9999, seed: int = 0) -> Paired:
    """Compare `a` with `b` case by case, on the cases where both have a value.

    The interval of the mean difference is the bias-corrected and accelerated bootstrap (Efron, 1987) over
    cases, from `seed`. The p-values are two-sided: the paired t-test and Wilcoxon's signed-rank test. Where
    every difference is 0 both are 1. Where all differences are equal and not 0, the t-test is undefined.
    Equal is what differs by less than `ROUNDING` of the largest value. Fewer than three cases: means only.
    """
    # In order of their names, so that the interval does not hang on the order in which cases were scored.
    values = {case: (_defined(a.get(case)), _defined(b.get(case))) for case in sorted({*a, *b})}
    pairs = [(x, y) for x, y in values.values() if x is not None and y is not None]
    left_out = tuple(case for case, (x, y) in values.items() if x is None or y is None)
    first, second = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    differences = first - second
    n = len(pairs)
    enough = n >= FEWEST
    settled = _settled(first, second) if enough else differences
    interval, method = _interval(settled, confidence, resamples, seed) if enough else (None, None)
    return Paired(
        n=n,
        mean_a=float(first.mean()) if n else None,
        mean_b=float(second.mean()) if n else None,
        difference=float(differences.mean()) if n else None,
        interval=interval,
        confidence=confidence,
        method=method,
        t_p=_t_test(settled) if enough else None,
        wilcoxon_p=_wilcoxon(settled) if enough else None,
        effect=_effect(settled) if enough else None,
        left_out=left_out,
    )


def _defined(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _settled(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The differences: one number where they are equal but for rounding, and 0 where they are 0 but for it."""
    differences = first - second
    tolerance = max(NOTHING, ROUNDING * float(np.abs([first, second]).max()))
    if np.ptp(differences) <= tolerance:
        differences = np.full_like(differences, differences.mean())
    return np.where(np.abs(differences) <= tolerance, 0.0, differences)


def _constant(differences: np.ndarray) -> bool:
    return bool((differences == differences[0]).all())


def _interval(
    differences: np.ndarray, confidence: float, resamples: int, seed: int
) -> tuple[tuple[float, float], str]:
    if _constant(differences):
        value = float(differences.mean())
        return (value, value), "constant"
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            # SciPy warns where BCa has no answer (its NaN is looked at below).
            warnings.simplefilter("ignore")
            result = stats.bootstrap(
                (differences,),
                np.mean,
                confidence_level=confidence,
                n_resamples=resamples,
                method=method,
                rng=np.random.default_rng(seed),
            )
        low, high = (float(end) for end in result.confidence_interval)
        if math.isfinite(low) and math.isfinite(high):
            break
    return (low, high), method


def _t_test(differences: np.ndarray) -> float | None:
    if _constant(differences):
        return None if differences.any() else 1.0
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def _wilcoxon(differences: np.ndarray) -> float:
    return float(stats.wilcoxon(differences).pvalue) if differences.any() else 1.0


def _effect(differences: np.ndarray) -> float | None:
    if _constant(differences):
        return None if differences.any() else 0.0
    return float(differences.mean() / differences.std(ddof=1))
