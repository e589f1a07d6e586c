"""Paired comparisons: known answers, and the cases in which there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from segdistill.evaluation.statistics import average_seeds, paired


def named(values: list[float | None]) -> dict[str, float | None]:
    return {f"case {index:03d}": value for index, value in enumerate(values)}


def test_clear_gain_is_seen_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(0.4, 0.8, 24)
    better = paired(named(list(base + 0.03 + rng.normal(0, 0.01, 24))), named(list(base)))
    assert better.n == 24
    assert better.difference == pytest.approx(0.03, abs=0.01)
    assert better.interval is not None
    assert 0 < better.interval[0] < better.difference < better.interval[1]
    assert better.method == "BCa"
    assert better.t_p is not None and better.t_p < 1e-6
    assert better.wilcoxon_p is not None and better.wilcoxon_p < 1e-4
    noise = paired(named(list(base + rng.normal(0, 0.05, 24))), named(list(base)))
    assert noise.interval is not None
    assert noise.interval[0] < 0 < noise.interval[1]


def test_t_and_effect_equal_their_formulas() -> None:
    a, b = [0.9, 0.7, 0.8, 0.6, 0.95], [0.8, 0.75, 0.6, 0.5, 0.9]
    found = paired(named(a), named(b))
    differences = [x - y for x, y in zip(a, b, strict=True)]
    mean = sum(differences) / 5
    deviation = math.sqrt(sum((d - mean) ** 2 for d in differences) / 4)
    t = mean / (deviation / math.sqrt(5))
    assert found.t_p == pytest.approx(2 * stats.t.sf(abs(t), 4))
    assert found.effect == pytest.approx(mean / deviation)
    assert (found.mean_a, found.mean_b) == (pytest.approx(0.79), pytest.approx(0.71))


def test_wilcoxon_equals_counting_all_signs() -> None:
    differences = [0.1, -0.02, 0.3, 0.25, 0.07, -0.04]
    ranks = stats.rankdata(np.abs(differences))
    seen = sum(rank for rank, d in zip(ranks, differences, strict=True) if d > 0)
    sums = [sum(r for k, r in enumerate(ranks) if code >> k & 1) for code in range(2**6)]
    tail = min(np.mean([s >= seen for s in sums]), np.mean([s <= seen for s in sums]))
    found = paired(named(list(differences)), named([0.0] * 6))
    assert found.wilcoxon_p == pytest.approx(min(1.0, 2 * tail))


def test_swapping_turns_the_sign_and_keeps_the_rest() -> None:
    rng = np.random.default_rng(1)
    a, b = named(list(rng.random(12))), named(list(rng.random(12)))
    one, other = paired(a, b), paired(b, a)
    assert one.interval is not None and other.interval is not None
    assert one.difference == pytest.approx(-other.difference)
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]), abs=1e-3)
    assert (one.t_p, one.wilcoxon_p) == (pytest.approx(other.t_p), pytest.approx(other.wilcoxon_p))


def test_interval_depends_on_the_seed_alone() -> None:
    rng = np.random.default_rng(2)
    a, b = named(list(rng.random(9))), named(list(rng.random(9)))
    backwards = dict(reversed(a.items()))
    assert paired(a, b) == paired(a, b) == paired(backwards, b)
    assert paired(a, b, seed=1).interval != paired(a, b).interval
    wide, narrow = paired(a, b, confidence=0.99).interval, paired(a, b, confidence=0.8).interval
    assert wide is not None and narrow is not None
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_only_shared_and_defined_cases_count() -> None:
    a = {"p1": 0.5, "p2": 0.6, "p3": None, "p4": 0.9, "p5": 0.7, "only a": 0.1}
    b = {"p1": 0.4, "p2": 0.6, "p3": 0.5, "p4": math.nan, "p5": 0.65, "only b": 0.2}
    found = paired(a, b)
    assert found.n == 3
    assert found.difference == pytest.approx(0.05)
    assert found.left_out == ("only a", "only b", "p3", "p4")


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_cases_give_means_only(n: int) -> None:
    found = paired(named([0.9] * n), named([0.7] * n))
    assert found.n == n
    assert found.difference == (pytest.approx(0.2) if n else None)
    assert found.interval is found.t_p is found.wilcoxon_p is found.effect is None


def test_no_difference_at_all() -> None:
    values = named([0.5, 0.6, 0.7, 0.8])
    found = paired(values, values)
    assert (found.difference, found.interval) == (0, (0, 0))
    assert (found.t_p, found.wilcoxon_p, found.effect) == (1, 1, 0)


def test_the_same_difference_everywhere() -> None:
    base = [0.1, 0.2, 0.3, 0.4, 0.5]
    found = paired(named([value + 0.1 for value in base]), named(list(base)))
    assert found.interval == (pytest.approx(0.1), pytest.approx(0.1))
    assert found.t_p is None
    assert found.effect is None
    assert found.wilcoxon_p == pytest.approx(2 / 2**5)


@pytest.mark.parametrize("unit", [0.3, 30.0, 250.0])
def test_differences_that_are_the_same_but_for_rounding(unit: float) -> None:
    base = [0.5 * unit, 0.7 * unit, 0.9 * unit]
    noise = [0, 0, 1e-8 * unit]
    found = paired(named([b + unit + n for b, n in zip(base, noise, strict=True)]), named(list(base)))
    assert found.method == "constant" and found.t_p is None and found.effect is None
    assert found.wilcoxon_p == pytest.approx(0.25)
    none = paired(named([b + n for b, n in zip(base, noise, strict=True)]), named(list(base)))
    assert (none.t_p, none.wilcoxon_p, none.effect) == (1, 1, 0)
    told = paired(
        named([b + n for b, n in zip(base, (1e-4 * unit, 2e-4 * unit, 3e-4 * unit), strict=True)]),
        named(list(base)),
    )
    assert told.t_p is not None and told.t_p < 1 and told.method != "constant"


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(*[st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1))] * 2),
        min_size=0,
        max_size=60,
    )
)
def test_never_a_warning_nor_nan(pairs: list[tuple[float | None, float | None]]) -> None:
    found = paired(named([a for a, _ in pairs]), named([b for _, b in pairs]), resamples=99)
    assert found.n + len(found.left_out) == len(pairs)
    numbers = [found.mean_a, found.mean_b, found.difference, found.t_p, found.wilcoxon_p, found.effect]
    numbers += list(found.interval or ())
    assert all(number is None or math.isfinite(number) for number in numbers)
    for p in (found.t_p, found.wilcoxon_p):
        assert p is None or 0 <= p <= 1
    if found.interval is not None:
        assert found.interval[0] <= found.interval[1]


def test_seeds_are_averaged_within_cases() -> None:
    runs = [
        {"p1": 0.5, "p2": None, "p3": None},
        {"p1": 0.7, "p2": 0.4},
        {"p1": 0.9, "p2": math.nan, "p4": 0.3},
    ]
    assert average_seeds(runs) == {"p1": pytest.approx(0.7), "p2": 0.4, "p3": None, "p4": 0.3}
    assert average_seeds([]) == {}
