"""Which of several models is the best, and would other cases of the same kind have said so, too?"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from segdistill.evaluation.statistics import FEWEST, Values

SAME = 12
"""Decimals to which two means have to agree to be a tie."""


@dataclass(frozen=True)
class Place:
    """Where one model stands. Ranks count from 1, the best; models that tie share the mean of their ranks.

    `mean` is over the cases, `rank` that among all models. Over the resamples: `mean_rank`, the central 95 % of the
    ranks (`low`, `high`), and `first`, the share in which the model is the best (k models that tie count 1 / k each).
    """

    mean: float
    rank: float
    mean_rank: float
    low: float
    high: float
    first: float


@dataclass(frozen=True)
class Ranking:
    """The places of all models, the best first, over `n` cases; `left_out` are those that some model has no value of.

    `tau` is the mean of Kendall's tau-b between the ranking and those of the resamples (1: the same order, -1: the
    reverse), `tau_low` what 95 % of them reach. None where no resample has a tau: in the ranking all models tie.
    """

    places: Mapping[str, Place]
    n: int
    tau: float | None
    tau_low: float | None
    left_out: tuple[str, ...]


def rank(
    models: Mapping[str, Values], *, higher_is_better: bool = True, resamples: int = 1000, seed: int = 0
) -> Ranking | None:
    """Rank models by their mean over the cases that all have a value of, and again over bootstrap samples of the cases.

    This is the bootstrap of challenges' rankings (Maier-Hein et al., 2018, Nature Communications 9; Wiesenfarth et al.,
    2021, Scientific Reports 11): cases are drawn with replacement, as many as there are, the same ones for all models.

    Args:
        models: a value for each case, by model.
        higher_is_better: as for Dice; not so for distances.
        resamples: how often cases are drawn, from `seed`.

    Returns:
        None where there are fewer than two models, or fewer than three cases that all have.
    """
    every = sorted({case for values in models.values() for case in values})
    cases = [case for case in every if all(_known(values.get(case)) for values in models.values())]
    if len(models) < 2 or len(cases) < FEWEST:
        return None
    table = np.array([[values[case] for case in cases] for values in models.values()], dtype=np.float64)
    means = table.mean(axis=1)
    drawn = np.random.default_rng(seed).integers(len(cases), size=(resamples, len(cases)))
    again = np.stack([row[drawn].mean(axis=1) for row in table], axis=1)  # (resamples, models)
    whole, ranks = _ranks(means[None], higher_is_better)[0], _ranks(again, higher_is_better)
    best = ranks == ranks.min(axis=1, keepdims=True)
    first = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    low, high = np.percentile(ranks, (2.5, 97.5), axis=0)
    taus = _taus(whole, ranks)
    names = sorted(range(len(models)), key=lambda k: (whole[k], k))
    labels = list(models)
    return Ranking(
        {
            labels[k]: Place(*(float(one[k]) for one in (means, whole, ranks.mean(axis=0), low, high, first)))
            for k in names
        },
        len(cases),
        float(taus.mean()) if taus.size else None,
        float(np.percentile(taus, 5)) if taus.size else None,
        tuple(case for case in every if case not in cases),
    )


def _ranks(means: np.ndarray, higher_is_better: bool) -> np.ndarray:
    """(rows, models): in each row 1 is the best."""
    settled = np.round(means, SAME)  # means that differ by rounding alone are a tie
    ranked: np.ndarray = stats.rankdata(-settled if higher_is_better else settled, axis=1)
    return ranked


def _taus(whole: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of each resample with the whole; those in which all models tie have none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy's, about constant input
        found = np.array([stats.kendalltau(whole, row).statistic for row in ranks])
    known: np.ndarray = found[np.isfinite(found)]
    return known


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
