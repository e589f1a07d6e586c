"""File values to classes and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from segdistill.data.dataset import Case, Dataset
from segdistill.errors import SegdistillError


def dataset(
    labels: dict, ignore: int | None = None, background: int = 0, order: tuple[int, ...] = ()
) -> Dataset:
    case = Case("a", (Path("a.png"),), Path("b.png"))
    channels = ("gray",)
    return Dataset(
        "set",
        Path("set"),
        "paired_folders",
        channels,
        labels,
        ignore,
        bool(order),
        (case,),
        2,
        background,
        order,
    )


EXCLUSIVE = dataset({"liver": 1, "tumour": 5, "vessel": 255}, ignore=7)
REGIONS = dataset({"whole": (1, 2, 3), "core": (2, 3), "enhancing": 3}, ignore=4, order=(1, 2, 3))


@given(arrays.arrays(np.int32, (3, 4), elements=st.sampled_from([0, 1, 5, 7, 255])))
def test_exclusive_labels_come_back(label: np.ndarray) -> None:
    classes = EXCLUSIVE.encode(label)
    table = {0: 0, 1: 1, 5: 2, 255: 3, 7: -1}
    assert classes.dtype == np.int16 and classes.shape == (1, 3, 4)
    assert classes[0].tolist() == [[table[value] for value in row] for row in label.tolist()]
    assert np.array_equal(EXCLUSIVE.decode(classes), label)


@given(arrays.arrays(np.int32, (3, 4), elements=st.sampled_from([0, 1, 2, 3, 4])))
def test_regions_come_back(label: np.ndarray) -> None:
    classes = REGIONS.encode(label)
    assert classes.shape == (3, 3, 4)
    for region, members in zip(classes, [(1, 2, 3), (2, 3), (3,)], strict=True):
        expected = np.isin(label, members).astype(int)
        expected[label == 4] = -1
        assert np.array_equal(region, expected)
    assert np.array_equal(REGIONS.decode(classes), label)


def test_network_channels() -> None:
    assert EXCLUSIVE.out_channels == 4 and REGIONS.out_channels == 3
    assert EXCLUSIVE.classes == ("liver", "tumour", "vessel")


@pytest.mark.parametrize("value", [2, -1, 70_000])
def test_undeclared_values_are_named(value: int) -> None:
    with pytest.raises(
        SegdistillError, match=f"label values {value} are not declared; declared are 0, 1, 5, 7, 255"
    ):
        EXCLUSIVE.encode(np.array([[0, 1, value]]))


def test_background_may_have_another_value() -> None:
    inverse = dataset({"object": 0}, background=255)
    label = np.array([[0, 255]])
    assert inverse.encode(label).tolist() == [[[1, 0]]]
    assert np.array_equal(inverse.decode(inverse.encode(label)), label)


def test_unknown_case_is_named() -> None:
    assert EXCLUSIVE.case("a").id == "a"
    with pytest.raises(SegdistillError, match="no case 'b'"):
        EXCLUSIVE.case("b")
