from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdistill.phases import Phase, phase_at, spread

SHARES = st.lists(st.floats(0.01, 100), min_size=1, max_size=6)


@given(SHARES, st.integers(0, 300))
def test_phases_follow_each_other_and_cover_the_training(shares: list[float], more: int) -> None:
    epochs = len(shares) + more
    bounds = spread(shares, epochs)
    assert len(bounds) == len(shares)
    assert bounds[0][0] == 0 and bounds[-1][1] == epochs
    assert all(stop - start >= 1 for start, stop in bounds)
    assert all(stop == start for (_, stop), (start, _) in itertools.pairwise(bounds))


@given(SHARES, st.integers(1, 50), st.floats(0.1, 10))
def test_only_the_proportions_count(shares: list[float], more: int, factor: float) -> None:
    epochs = 1000 * len(shares) + more
    found, scaled = (spread(each, epochs) for each in (shares, [factor * share for share in shares]))
    for (start, stop), other in zip(found, scaled, strict=True):
        assert (start, stop) == pytest.approx(other, abs=1)


@pytest.mark.parametrize(
    "shares, epochs, bounds",
    [
        ([1], 1, [(0, 1)]),
        ([1, 1], 10, [(0, 5), (5, 10)]),
        ([0.2, 0.8], 10, [(0, 2), (2, 10)]),
        ([1, 1, 8], 100, [(0, 10), (10, 20), (20, 100)]),
        ([0.001, 1], 5, [(0, 1), (1, 5)]),
        ([1, 0.001], 5, [(0, 4), (4, 5)]),
        ([1, 100, 1], 3, [(0, 1), (1, 2), (2, 3)]),
    ],
)
def test_spread(shares: list[float], epochs: int, bounds: list[tuple[int, int]]) -> None:
    assert spread(shares, epochs) == bounds


def test_too_few_epochs() -> None:
    with pytest.raises(ValueError, match=r"3 phases need as many epochs at least, train\.epochs is 2"):
        spread([1, 1, 1], 2)


def test_which_phase_holds() -> None:
    first, second = Phase("first", 0, 3), Phase("second", 3, 8)
    phases = [first, second]
    held = [phase_at(phases, epoch) for epoch in (0, 2.9, 3, 7, 8, 100)]
    assert held == [first, first, second, second, second, second]
    assert phase_at([], 4) is None


def test_share_of_a_phase_that_is_over() -> None:
    phase = Phase("second", 4, 8)
    assert [phase.done(epoch) for epoch in (4, 5, 8)] == [0, 0.25, 1]
