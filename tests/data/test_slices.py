from __future__ import annotations

import numpy as np
import pytest

from segdistill.data.slices import Slices


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_taken_along_the_axis(axis: int) -> None:
    volume = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    for index in range((3, 4, 5)[axis]):
        expected = volume.take(index, axis=1 + axis)
        np.testing.assert_array_equal(Slices(axis=axis).take(volume, index), expected)


def test_foreground_slices_are_those_with_a_class_and_not_the_ignored() -> None:
    label = np.zeros((1, 4, 4, 6), np.int16)
    label[0, 1, 2, 3] = 1
    label[0, 0, 0, 5] = 2
    label[0, :, :, 0] = -1
    assert Slices().with_foreground(label).tolist() == [3, 5]
    assert Slices(axis=0).with_foreground(label).tolist() == [0, 1]
