"""Rankings over resampled cases: naive loops, ties, and what is known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segdistill.evaluation.ranking import rank
from segdistill.evaluation.statistics import Values


def table(*rows: list[float | None]) -> dict[str, Values]:
    return {f"m{k}": {f"c{n}": value for n, value in enumerate(row)} for k, row in enumerate(rows)}


def ranks_of(means: list[float]) -> list[float]:
    """1 for the largest; those that tie share the mean of their places."""
    return [
        1 + sum(other > one for other in means) + (sum(other == one for other in means) - 1) / 2
        for one in means
    ]


def tau_b(a: list[float], b: list[float]) -> float | None:
    agree = only_a = only_b = 0
    for i in range(len(a)):
        for j in range(i):
            x, y = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
            agree += x * y
            only_a += x != 0
            only_b += y != 0
    return float(agree / math.sqrt(only_a * only_b)) if only_a and only_b else None


def test_equals_naive_loops() -> None:
    rng = np.random.default_rng(3)
    models = table(*[[round(float(v), 1) for v in rng.uniform(0.3, 0.8, 5)] for _ in range(4)])
    models["twin"] = dict(models["m1"])  # ties in every resample
    found = rank(models, resamples=40, seed=7)
    assert found is not None and found.n == 5
    names = list(models)
    drawn = np.random.default_rng(7).integers(5, size=(40, 5))
    whole = ranks_of([float(np.mean(list(models[name].values()))) for name in names])  # type: ignore[arg-type]
    rows, taus, first = [], [], dict.fromkeys(names, 0.0)
    for resample in drawn:
        means = [round(math.fsum(models[name][f"c{n}"] or 0.0 for n in resample) / 5, 9) for name in names]
        ranks = ranks_of(means)
        rows.append(ranks)
        best = [name for name, place in zip(names, ranks, strict=True) if place == min(ranks)]
        for name in best:
            first[name] += 1 / len(best) / 40
        tau = tau_b(whole, ranks)
        if tau is not None:
            taus.append(tau)
    assert found.tau == pytest.approx(np.mean(taus))
    assert found.tau_low == pytest.approx(np.percentile(taus, 5))
    for k, name in enumerate(names):
        place = found.places[name]
        assert place.rank == whole[k]
        assert place.mean_rank == pytest.approx(np.mean([row[k] for row in rows]))
        assert place.first == pytest.approx(first[name])
        assert (place.low, place.high) == tuple(np.percentile([row[k] for row in rows], (2.5, 97.5)))
    assert sum(place.first for place in found.places.values()) == pytest.approx(1)


def test_the_best_stands_first_and_a_clear_order_is_stable() -> None:
    found = rank(table([0.5, 0.6, 0.7], [0.8, 0.9, 1.0], [0.1, 0.2, 0.3]))
    assert found is not None
    assert list(found.places) == ["m1", "m0", "m2"]
    assert [place.first for place in found.places.values()] == [1, 0, 0]
    assert found.tau == found.tau_low == 1
    turned = rank(table([0.5, 0.6, 0.7], [0.8, 0.9, 1.0], [0.1, 0.2, 0.3]), higher_is_better=False)
    assert turned is not None and list(turned.places) == ["m2", "m0", "m1"]


def test_models_that_are_the_same_share_everything() -> None:
    found = rank(table([0.5, 0.6, 0.7], [0.5, 0.6, 0.7]))
    assert found is not None and found.tau is None and found.tau_low is None
    assert [(p.rank, p.mean_rank, p.first) for p in found.places.values()] == [(1.5, 1.5, 0.5)] * 2


def test_only_cases_that_all_models_have_count() -> None:
    models = table([0.5, 0.6, 0.7, 0.1], [0.4, 0.5, 0.6, None])
    found = rank(models)
    assert found is not None and found.n == 3 and found.left_out == ("c3",)
    assert found.places["m0"].mean == pytest.approx(0.6)


def test_the_seed_decides_alone() -> None:
    rng = np.random.default_rng(0)
    models = table(*[list(map(float, rng.random(6))) for _ in range(3)])
    assert rank(models) == rank({n: dict(reversed(list(v.items()))) for n, v in models.items()})
    assert rank(models, seed=1) != rank(models)


@pytest.mark.parametrize("models", [table([0.5, 0.6, 0.7]), table([0.5, 0.6], [0.7, 0.8]), {}])
def test_too_little_to_rank(models: dict[str, Values]) -> None:
    assert rank(models) is None
