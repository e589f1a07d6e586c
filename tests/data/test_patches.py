from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.data.augmentation import Augmentation
from segdistill.data.patches import Patches, cut
from segdistill.data.slices import Slices
from segdistill.errors import SegdistillError


@dataclass
class MadeCase:
    image: np.ndarray
    label: np.ndarray | None
    foreground: np.ndarray


class MadeStore:
    """Cases whose image tells every voxel's own place: value = 1 + flat index."""

    def __init__(self, shape: tuple[int, ...], classes: dict[int, list[tuple[int, ...]]]) -> None:
        image = (1 + np.arange(np.prod(shape), dtype=np.float32)).reshape(1, *shape)
        label = np.zeros((1, *shape), np.int16)
        for value, voxels in classes.items():
            for voxel in voxels:
                label[(0, *voxel)] = value
        where = np.argwhere(label[0] > 0)
        values = label[0][tuple(where.T)]
        rows = np.column_stack([values, where]).astype(np.int32)
        self.cases = {"one": MadeCase(image, label, rows), "two": MadeCase(-image, label, rows)}
        self.cases["empty"] = MadeCase(image, np.zeros_like(label), rows[:0])
        self.cases["unlabelled"] = MadeCase(image, None, rows[:0])

    def case(self, id: str) -> MadeCase:
        return self.cases[id]


STORE = MadeStore((20, 16, 12), {1: [(x, y, 3) for x in range(5) for y in range(5)], 2: [(19, 15, 11)]})


def test_sample_is_a_function_of_seed_and_number_alone() -> None:
    def make(seed: int) -> Patches:
        return Patches(STORE, ["one", "two"], (8, 8, 8), seed=seed, augmentation=Augmentation(affine=0.5))

    first, second = make(5), make(5)
    for number in (40, 7, 7, 0):  # in any order, and twice
        a, b = first[number], second[number]
        assert (a["image"] == b["image"]).all() and (a["label"] == b["label"]).all()
    assert not all((first[n]["image"] == first[n + 1]["image"]).all() for n in range(3))
    assert not all((first[n]["image"] == make(6)[n]["image"]).all() for n in range(3))


def test_shapes_and_types() -> None:
    sample = Patches(STORE, ["one"], (8, 6, 4), seed=0, augmentation=Augmentation(affine=1))[3]
    assert sample["image"].shape == (1, 8, 6, 4) and sample["image"].dtype == np.float32
    assert sample["label"].shape == (1, 8, 6, 4) and sample["label"].dtype == np.int16
    assert sample["image"].flags.c_contiguous and sample["label"].flags.c_contiguous


def test_patches_come_from_every_case_and_every_place() -> None:
    patches = Patches(STORE, ["one", "two"], (8, 8, 8), seed=0, oversample_foreground=0, augmentation=None)
    places = [patches.places[n] for n in range(600)]
    assert 240 < sum(p.case == "one" for p in places) < 360
    starts = np.array([p.start for p in places])
    assert starts.min(axis=0).tolist() == [0, 0, 0]
    assert starts.max(axis=0).tolist() == [12, 8, 4]


def test_image_smaller_than_the_patch_is_padded_with_zero_at_random() -> None:
    patches = Patches(STORE, ["one"], (24, 16, 15), seed=0, augmentation=None)
    offsets = set()
    for number in range(40):
        image = patches[number]["image"][0]
        assert np.count_nonzero(image) == 20 * 16 * 12
        corner = np.argwhere(image == 1)[0]
        assert (
            image[corner[0] :, corner[1] :, corner[2] :][:20, :16, :12] == STORE.case("one").image[0]
        ).all()
        offsets.add(tuple(corner))
    assert len(offsets) > 8


@settings(deadline=None)
@given(seed=st.integers(0, 1000), size=st.tuples(*[st.integers(1, 26)] * 3))
def test_cut_agrees_with_padding_first(seed: int, size: tuple[int, int, int]) -> None:
    array = STORE.case("one").image
    start = np.random.default_rng(seed).integers(-25, 25, size=3)
    padded = np.pad(array, [(0, 0)] + [(60, 60)] * 3)
    expected = padded[(slice(None), *(slice(60 + s, 60 + s + n) for s, n in zip(start, size, strict=True)))]
    assert (cut(array, start.tolist(), size) == expected).all()


def test_asked_for_foreground_is_in_every_patch_and_classes_are_balanced() -> None:
    patches = Patches(STORE, ["one"], (4, 5, 3), seed=0, oversample_foreground=1.0, augmentation=None)
    labels = [patches[n]["label"] for n in range(200)]
    assert all((label > 0).any() for label in labels)
    rare = sum((label == 2).any() for label in labels)  # one voxel against 25
    assert 70 < rare < 130


def test_oversampling_happens_as_often_as_asked() -> None:
    far = MadeStore((64, 64), {1: [(32, 32)]})
    patches = Patches(far, ["one"], (4, 4), seed=0, oversample_foreground=0.3, augmentation=None)
    rate = np.mean([(patches[n]["label"] > 0).any() for n in range(400)])
    assert 0.22 < rate < 0.38


def test_a_case_without_foreground_gives_patches_all_the_same() -> None:
    sample = Patches(STORE, ["empty"], (4, 4, 4), seed=0, oversample_foreground=1.0, augmentation=None)[0]
    assert not sample["label"].any()


def test_position_does_not_depend_on_the_augmentation() -> None:
    plain = Patches(STORE, ["one", "two"], (6, 6, 6), seed=1, augmentation=None)
    varied = Patches(STORE, ["one", "two"], (6, 6, 6), seed=1, augmentation=Augmentation(affine=1))
    for number in range(20):
        a, b = plain.places[number], varied.places[number]
        assert (a.case, a.start) == (b.case, b.start)


def test_rotated_patches_are_filled_from_beyond_their_border() -> None:
    big = MadeStore((40, 40), {})
    patches = Patches(
        big, ["one"], (8, 8), seed=0, augmentation=Augmentation(affine=1, intensity=0, rotation=45)
    )
    inner = [n for n in range(200) if all(8 <= s <= 24 for s in patches.places[n].start)]
    assert len(inner) > 10
    assert all((patches[n]["image"] > 0).all() for n in inner)


def test_slices_of_a_volume() -> None:
    patches = Patches(STORE, ["one"], (10, 10), seed=0, oversample_foreground=0, slices=Slices(axis=2))
    sample = patches[0]
    assert sample["image"].shape == sample["label"].shape == (1, 10, 10)
    place = patches.places[0]
    x, y = place.start
    assert place.index is not None
    assert (sample["image"] == STORE.case("one").image[:, x : x + 10, y : y + 10, place.index]).all()
    assert {patches.places[n].index for n in range(300)} == set(range(12))


def test_foreground_slices_only() -> None:
    patches = Patches(
        STORE, ["one", "empty"], (20, 16), seed=0, oversample_foreground=0, slices=Slices(keep="foreground")
    )
    samples = [patches[n] for n in range(30)]
    assert all((s["label"] > 0).any() for s in samples)
    assert {patches.places[n].index for n in range(60)} == {3, 11}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_oversampled_slices_hold_the_voxel(axis: int) -> None:
    patches = Patches(STORE, ["one"], (5, 5), seed=0, oversample_foreground=1.0, slices=Slices(axis=axis))
    assert all((patches[n]["label"] > 0).any() for n in range(40))


def test_what_cannot_work_is_said_at_once() -> None:
    with pytest.raises(SegdistillError, match="no case"):
        Patches(STORE, [], (4, 4, 4), seed=0)
    with pytest.raises(SegdistillError, match="no case"):
        Patches(STORE, ["empty"], (4, 4), seed=0, slices=Slices(keep="foreground"))
    with pytest.raises(SegdistillError, match=r"2 sides.*3 axes"):
        Patches(STORE, ["one"], (4, 4), seed=0)
    with pytest.raises(SegdistillError, match="unlabelled has no label"):
        Patches(STORE, ["unlabelled"], (4, 4, 4), seed=0)[0]
