"""What seeds say of a difference, beside what cases say."""

from __future__ import annotations

import math

import pytest

from segdistill.evaluation.repetitions import repetitions


def test_runs_that_agree_and_one_that_does_not() -> None:
    assert repetitions([0.02, 0.01, 0.03]).unanimous
    split = repetitions([0.05, -0.01, 0.02])
    assert (split.n, split.agreeing, split.unanimous) == (3, 2, False)
    loss = repetitions([-0.3, 0.01, -0.02])
    assert loss.agreeing == 2  # of a loss the runs below 0 agree


def test_the_p_value_is_that_of_a_t_test() -> None:
    values = [0.02, 0.01, 0.06, 0.03]
    mean = sum(values) / 4
    t = mean / (math.sqrt(sum((v - mean) ** 2 for v in values) / 3) / 2)
    # Two-sided, three degrees of freedom: the closed form of the distribution.
    x = t / math.sqrt(3)
    p = 1 - 2 / math.pi * (x / (1 + x**2) + math.atan(x))
    assert repetitions(values).p == pytest.approx(p)


@pytest.mark.parametrize(
    "values",
    [[0.01, 0.02], [0.01, 0.01, 0.01], [0.3, 0.3, 0.30000001]],
    ids=["two", "all the same", "the same but for rounding"],
)
def test_nothing_to_test(values: list[float]) -> None:
    assert repetitions(values).p is None
