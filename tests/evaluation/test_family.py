"""Holm's correction: the definition in naive loops, an example by hand, and what must always hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdistill.evaluation.family import holm

P_VALUES = st.lists(st.none() | st.floats(0, 1) | st.sampled_from([0.01, 0.02, 0.5]), max_size=8)


def naive(p_values: list[float | None]) -> list[float | None]:
    """For each p: the largest of (m - k) p_k over all that stand at or before it in rising order."""
    order = sorted(
        (p, place) for place, p in enumerate(p_values) if p is not None
    )  # of equal ones the first given
    adjusted: list[float | None] = []
    for place, p in enumerate(p_values):
        if p is None:
            adjusted.append(None)
            continue
        own = order.index((p, place))
        steps = [(len(order) - k) * order[k][0] for k in range(own + 1)]
        adjusted.append(min(1.0, max(steps)))
    return adjusted


def test_an_example_by_hand() -> None:
    # Rising: 0.005 * 4 = 0.02; 0.01 * 3 = 0.03; 0.03 * 2 = 0.06; 0.04 * 1 = 0.04, but not below 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_what_was_not_tested_does_not_count() -> None:
    assert holm([None, 0.02, None, 0.9, 0.03]) == [None, pytest.approx(0.06), None, pytest.approx(0.9),
                                                    pytest.approx(0.06)]  # fmt: skip
    assert holm([]) == [] and holm([None]) == [None]


@given(P_VALUES)
def test_equals_naive_loops(p_values: list[float | None]) -> None:
    assert holm(p_values) == naive(p_values)


@given(P_VALUES)
def test_none_becomes_smaller_and_the_order_stays(p_values: list[float | None]) -> None:
    pairs = [(p, q) for p, q in zip(p_values, holm(p_values), strict=True) if p is not None and q is not None]
    assert all(p <= q <= 1 for p, q in pairs)
    assert [q for _, q in sorted(pairs)] == sorted(q for _, q in pairs)


def test_one_alone_is_left_as_it_is() -> None:
    assert holm([0.03]) == [0.03]


@pytest.mark.parametrize("wrong", [-0.1, 1.5, float("nan")])
def test_what_is_no_p_value_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]"):
        holm([0.5, wrong])
