"""Resampling: voxel centres stay where they are in space."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdistill.data.resampling import Order, resample


def centres(n: int) -> np.ndarray:
    """Positions of n voxel centres in a field of view of length 1."""
    return (np.arange(n) + 0.5) / n


@given(n=st.integers(2, 40), m=st.integers(1, 60), order=st.sampled_from(["linear", "cubic"]))
def test_a_ramp_keeps_its_position(n: int, m: int, order: Order) -> None:
    got = resample(centres(n)[None].astype(np.float32), (m,), order)[0]
    expected = np.clip(
        centres(m), 0.5 / n, 1 - 0.5 / n
    )  # beyond the outermost centres the value stands still
    np.testing.assert_allclose(got, expected, atol=1e-5)


@given(n=st.integers(1, 40), m=st.integers(1, 60))
def test_nearest_takes_the_voxel_that_contains_the_centre(n: int, m: int) -> None:
    got = resample(np.arange(n, dtype=np.float32)[None], (m,), "nearest")[0]
    assert got.tolist() == [int(((2 * i + 1) * n) // (2 * m)) for i in range(m)]


def test_linear_equals_naive_loops_in_three_dimensions() -> None:
    rng = np.random.default_rng(0)
    array, shape = rng.normal(size=(1, 4, 5, 3)), (7, 3, 4)
    got = resample(array, shape, "linear")
    for index in np.ndindex(*shape):
        corners = []
        for i, n, m in zip(index, array.shape[1:], shape, strict=True):
            at = min(max((i + 0.5) * n / m - 0.5, 0), n - 1)
            low = min(int(at), n - 2)
            corners.append(((low, 1 - (at - low)), (low + 1, at - low)))
        expected = sum(
            array[0, x, y, z] * wx * wy * wz
            for x, wx in corners[0]
            for y, wy in corners[1]
            for z, wz in corners[2]
        )
        assert got[(0, *index)] == pytest.approx(expected, abs=1e-5)


def test_cubic_is_closer_to_a_smooth_curve_than_linear() -> None:
    fine, coarse = np.sin(9 * centres(60)), np.sin(9 * centres(20))[None].astype(np.float32)
    error = {
        order: np.abs(resample(coarse, (60,), order)[0] - fine)[5:-5].max() for order in ("linear", "cubic")
    }
    assert error["cubic"] < error["linear"] / 5


def test_whole_slices_are_taken_along_the_axis_asked_for() -> None:
    array = np.random.default_rng(0).normal(size=(2, 6, 5, 3)).astype(np.float32)
    got = resample(array, (6, 5, 9), "cubic", nearest_along=2)
    np.testing.assert_array_equal(got, np.repeat(array, 3, axis=3))


def test_the_same_shape_is_left_alone() -> None:
    array = np.random.default_rng(0).normal(size=(2, 6, 5)).astype(np.float32)
    np.testing.assert_array_equal(resample(array, (6, 5), "cubic"), array)
