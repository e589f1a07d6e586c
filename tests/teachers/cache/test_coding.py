"""Half precision and 8-bit steps: what is read differs from what was said by no more than is stated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segdistill.teachers.cache.coding import (
    LARGEST_HALF,
    RELATIVE_ERROR,
    Steps,
    decoded,
    in_half,
    in_steps,
)

HALF = st.floats(-LARGEST_HALF, LARGEST_HALF, width=32)
LOGITS = arrays(np.float32, st.tuples(*[st.integers(1, 4)] * 3), elements=HALF)
TIGHT = arrays(
    np.float32, (2, 3, 3), elements=st.sampled_from([0.0, 1e-44, 1e-38, 1e-7, 1.0, 1.0000001, 100.0])
)


@settings(max_examples=300)
@given(st.one_of(LOGITS, TIGHT))
def test_the_stated_error_is_true(values: Any) -> None:
    codes, steps = in_steps(values)
    assert codes.dtype == np.uint8 and codes.shape == values.shape
    found = decoded(codes, steps)
    assert found.dtype == np.float16
    off = np.abs(found.astype(np.float64) - values).max()
    assert off <= steps.error * (1 + 1e-6)
    assert steps.error <= off * (1 + 1e-5) + 1e-30, "and no larger than need be"
    # As the documents say: half a step, and the last digit of what is read.
    bound = max(steps.scale) / 2 + RELATIVE_ERROR * np.abs(values).max() + 2.0**-25
    assert off <= bound * (1 + 1e-3)
    again = decoded(codes[:, :1], Steps.from_dict(steps.to_dict()))
    np.testing.assert_array_equal(again, found[:, :1])


@given(LOGITS)
def test_half_precision(values: Any) -> None:
    found = in_half(values)
    assert found.dtype == np.float16 and decoded(found, None) is found
    off = np.abs(found.astype(np.float64) - values)
    assert (off <= RELATIVE_ERROR * np.abs(values) + 2.0**-25).all()


@pytest.mark.parametrize("code", [in_half, in_steps])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e5, -65600.0])
def test_what_cannot_be_kept_is_refused(code: Any, value: float) -> None:
    values = np.zeros((2, 2, 2), np.float32)
    values[1, 0, 1] = value
    with pytest.raises(ValueError, match="float16 holds 65504 at most"):
        code(values)


def test_a_channel_of_one_value_is_kept_exactly() -> None:
    values = np.stack(
        [np.full((3, 3), 1.5, np.float32), np.linspace(0, 255, 9, dtype=np.float32).reshape(3, 3)]
    )
    codes, steps = in_steps(values)
    np.testing.assert_array_equal(decoded(codes, steps)[0], 1.5)
    assert steps.scale == (1.0, 1.0) and steps.error <= 0.5
