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
    Fewer than three cases: means only.
    """
    # In order of their names, so that the interval does not hang on the order in which cases were scored.
    values = {case: (_defined(a.get(case)), _defined(b.get(case))) for case in sorted({*a, *b})}
    pairs = [(x, y) for x, y in values.values() if x is not None and y is not None]
    left_out = tuple(case for case, (x, y) in values.items() if x is None or y is None)
    first, second = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    differences = first - second
    n = len(pairs)
    enough = n >= FEWEST
    interval, method = _interval(differences, confidence, resamples, seed) if enough else (None, None)
    return Paired(
        n=n,
        mean_a=float(first.mean()) if n else None,
        mean_b=float(second.mean()) if n else None,
        difference=float(differences.mean()) if n else None,
        interval=interval,
        confidence=confidence,
        method=method,
        t_p=_t_test(differences) if enough else None,
        wilcoxon_p=_wilcoxon(differences) if enough else None,
        effect=_effect(differences) if enough else None,
        left_out=left_out,
    )


def _defined(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _constant(differences: np.ndarray) -> bool:
    """Whether the differences are equal but for rounding."""
    return bool(np.ptp(differences) <= 1e-12 * max(1.0, float(np.abs(differences).max())))


def _zero(differences: np.ndarray) -> bool:
    return bool(np.abs(differences).max() <= 1e-12)


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
        return 1.0 if _zero(differences) else None
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def _wilcoxon(differences: np.ndarray) -> float:
    # Differences that are 0 but for rounding would be ranked otherwise.
    settled = np.where(np.abs(differences) <= 1e-12, 0.0, differences)
    return 1.0 if not settled.any() else float(stats.wilcoxon(settled).pvalue)


def _effect(differences: np.ndarray) -> float | None:
    if _constant(differences):
        return 0.0 if _zero(differences) else None
    return float(differences.mean() / differences.std(ddof=1))
