"""What teachers said of whole images comes with each patch as the label does: cut, turned, flipped, padded."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.data.augmentation import Augmentation, Drawn
from segdistill.data.patches import Patches
from segdistill.data.slices import Slices
from segdistill.errors import SegdistillError

TURNS = {"affine": 0.0, "intensity": 0.0, "flip": 0.5}


@dataclass
class MadeCase:
    image: np.ndarray
    label: np.ndarray | None
    foreground: np.ndarray


@dataclass
class MadeMap:
    values: np.ndarray

    def decoded(self, piece: np.ndarray) -> np.ndarray:
        return piece.astype(np.float16)


@dataclass
class MadeRecording:
    strides: dict[str, tuple[int, ...]]
    kept: dict[str, dict[str, MadeMap]]

    def maps(self, case: str) -> dict[str, MadeMap]:
        return self.kept[case]


class MadeStore:
    """One case of whole numbers above 0, which float16 holds, with one voxel of foreground, and one without label."""

    def __init__(self, shape: tuple[int, ...], seed: int, channels: int = 2) -> None:
        rng = np.random.default_rng(seed)
        image = rng.integers(1, 2000, (channels, *shape)).astype(np.float32)
        label = np.zeros((1, *shape), np.int16)
        self.voxel = tuple(int(rng.integers(n)) for n in shape)
        label[(0, *self.voxel)] = 1
        self.cases = {"one": MadeCase(image, label, np.array([[1, *self.voxel]], np.int32))}
        self.cases["bare"] = MadeCase(image[:, ::-1], None, np.empty((0, 1 + len(shape)), np.int32))

    def case(self, id: str) -> MadeCase:
        return self.cases[id]

    def recording(self, **strides: tuple[int, ...]) -> MadeRecording:
        """Maps whose voxels are the largest value of the image voxels that they cover."""
        kept = {
            name: {stage: MadeMap(largest(case.image, stride)) for stage, stride in strides.items()}
            for name, case in self.cases.items()
        }
        return MadeRecording(strides, kept)


def said(patches: Patches, number: int) -> dict[str, dict[str, np.ndarray]]:
    """What teachers said of one sample."""
    told = patches.told([number])
    return {name: {stage: each[0] for stage, each in maps.items()} for name, maps in told.items()}


def largest(image: np.ndarray, stride: tuple[int, ...]) -> np.ndarray:
    """The largest value of each block, block by block; blocks at the end may be cut off by the border."""
    size = tuple(-(-n // step) for n, step in zip(image.shape[1:], stride, strict=True))
    out = np.empty((len(image), *size), image.dtype)
    for index in np.ndindex(*size):
        block = tuple(slice(i * step, (i + 1) * step) for i, step in zip(index, stride, strict=True))
        out[(slice(None), *index)] = image[(slice(None), *block)].reshape(len(image), -1).max(1)
    return out


@st.composite
def set_ups(draw: st.DrawFn) -> dict[str, Any]:
    dims = draw(st.sampled_from([2, 3]))
    shape = tuple(draw(st.integers(1, 11)) for _ in range(dims))
    slices = draw(st.sampled_from([None, 0, 1, 2])) if dims == 3 else None
    space = [axis for axis in range(dims) if axis != slices]
    even = draw(st.booleans())
    sizes = draw(st.sampled_from([1, 2, 3]))
    stride = [1] * dims
    for axis in space:
        stride[axis] = sizes if even else draw(st.sampled_from([1, 2, 3]))
    times = draw(st.integers(1, 3))
    patch = tuple(stride[axis] * (times if even else draw(st.integers(1, 3))) for axis in space)
    return {
        "shape": shape, "stride": tuple(stride), "patch": patch, "slices": slices,
        "rotate90": 1.0 if even else 0.0, "seed": draw(st.integers(0, 1000)),
    }  # fmt: skip


@settings(max_examples=80)
@given(set_ups())
def test_maps_follow_the_image_through_crops_flips_turns_and_padding(made: dict[str, Any]) -> None:
    """Of a patch of the image, the largest value of each block is what the map says: whatever was done to both."""
    store = MadeStore(made["shape"], made["seed"])
    slices = None if made["slices"] is None else Slices(axis=made["slices"])
    ones = (1,) * len(made["shape"])
    patches = Patches(
        store, ["one"], made["patch"], seed=made["seed"], slices=slices, oversample_foreground=0.5,
        augmentation=Augmentation(rotate90=made["rotate90"], **TURNS),
        recordings={"t": store.recording(logits=ones, coarse=made["stride"])},
    )  # fmt: skip
    across = tuple(n for axis, n in enumerate(made["stride"]) if axis != made["slices"])
    for number in range(6):
        sample = patches[number]
        told = said(patches, number)["t"]
        np.testing.assert_array_equal(told["logits"], sample["image"])
        np.testing.assert_array_equal(told["coarse"], largest(sample["image"], across))
        np.testing.assert_array_equal(sample["inside"], sample["image"][:1] > 0)
        assert all(each.dtype == np.float16 and each.flags.c_contiguous for each in told.values())
        assert sample["inside"].dtype == bool
        start = patches.places[number].start
        assert not any(first % step for first, step in zip(start, across, strict=True))
        assert sample["inside"].any(), "a patch that begins beyond the image teaches nothing"


@settings(max_examples=60)
@given(set_ups())
def test_patches_hold_the_voxel_that_was_chosen(made: dict[str, Any]) -> None:
    store = MadeStore(made["shape"], made["seed"])
    slices = None if made["slices"] is None else Slices(axis=made["slices"])
    recording = store.recording(coarse=made["stride"])
    patches = Patches(
        store, ["one"], made["patch"], seed=3, slices=slices, oversample_foreground=1.0,
        augmentation=Augmentation(rotate90=made["rotate90"], **TURNS), recordings={"t": recording},
    )  # fmt: skip
    assert all((patches[number]["label"] == 1).sum() == 1 for number in range(8))


REACH = [(17, 8, 8), (9, 8, 4), (5, 8, 4), (16, 8, 8), (13, 4, 2), (7, 6, 3), (10, 6, 2), (3, 4, 4)]


def test_every_voxel_can_be_reached() -> None:
    for side, patch, stride in REACH:
        store = MadeStore((side,) * 2, 0)
        patches = Patches(
            store, ["one"], (patch,) * 2, seed=0, oversample_foreground=0.0,
            recordings={"t": store.recording(coarse=(stride,) * 2)},
        )  # fmt: skip
        starts = {patches.places[number].start[0] for number in range(300)}
        seen = set(itertools.chain.from_iterable(range(start, start + patch) for start in starts))
        assert set(range(side)) <= seen, (side, patch, stride, starts)


def test_starts_fit_the_strides_of_all_teachers_at_once() -> None:
    store = MadeStore((40, 40), 0)
    recordings = {"a": store.recording(x=(2, 4)), "b": store.recording(y=(3, 1), logits=(1, 1))}
    patches = Patches(store, ["one"], (12, 8), seed=0, recordings=recordings)
    starts = np.array([patches.places[number].start for number in range(60)])
    assert (starts % [6, 4] == 0).all() and len(np.unique(starts[:, 0])) > 3
    told = said(patches, 0)
    assert set(told) == {"a", "b"} and told["b"]["y"].shape == (2, 4, 8)


def test_logits_alone_leave_patches_where_they_were() -> None:
    store = MadeStore((12, 9), 0)
    plain = Patches(store, ["one"], (5, 4), seed=1, augmentation=Augmentation())
    heard = Patches(
        store, ["one"], (5, 4), seed=1, augmentation=Augmentation(),
        recordings={"t": store.recording(logits=(1, 1))},
    )  # fmt: skip
    for number in range(20):
        np.testing.assert_array_equal(plain[number]["image"], heard[number]["image"])
        assert "inside" not in plain[number]
    assert plain.told([0, 1]) == {}


def test_images_without_label_have_been_asked_about_too() -> None:
    store = MadeStore((8, 8), 0)
    patches = Patches(
        store, ["one"], (4, 4), seed=0, unlabelled=["bare"], unlabelled_share=0.9,
        recordings={"t": store.recording(logits=(1, 1))},
    )  # fmt: skip
    samples = [patches[number] for number in range(20)]
    assert any((sample["label"] == -2).all() for sample in samples)
    together = patches.told(range(20))["t"]["logits"]
    np.testing.assert_array_equal(together, np.stack([sample["image"] for sample in samples]))


def test_patch_that_is_no_multiple_of_the_strides() -> None:
    store = MadeStore((16, 16), 0)
    with pytest.raises(SegdistillError, match=r"patch_size \[8, 6\] is no multiple of the strides \[4, 4\]"):
        Patches(store, ["one"], (8, 6), seed=0, recordings={"t": store.recording(x=(4, 4))})


def naively(whole: np.ndarray, start: tuple[int, ...], drawn: Drawn) -> np.ndarray:
    """Linear interpolation voxel by voxel, 0 outside, then quarter turns and flips index by index."""
    size, matrix = np.array(drawn.size), np.array(drawn.matrix)
    out = np.zeros((len(whole), *drawn.size))
    for index in np.ndindex(*drawn.size):
        place = matrix @ (np.array(index) - (size - 1) / 2) + (size - 1) / 2 + start
        low = np.floor(place + 1e-9).astype(int)
        for corner in itertools.product((0, 1), repeat=len(size)):
            at = low + corner
            share = np.prod(np.where(corner, place - low, 1 - (place - low)))
            if (at >= 0).all() and (at < whole.shape[1:]).all():
                out[(slice(None), *index)] += share * whole[(slice(None), *at)]
    for _ in range(drawn.turn[2] if drawn.turn else 0):
        assert drawn.turn is not None
        turned, (a, b, _) = np.empty_like(out), drawn.turn
        for index in np.ndindex(*drawn.size):
            source = list(index)
            source[a], source[b] = index[b], drawn.size[b] - 1 - index[a]
            turned[(slice(None), *index)] = out[(slice(None), *source)]
        out = turned
    flipped = np.empty_like(out)
    for index in np.ndindex(*drawn.size):
        source = [
            n - 1 - i if k in drawn.flips else i
            for k, (i, n) in enumerate(zip(index, drawn.size, strict=True))
        ]
        flipped[(slice(None), *index)] = out[(slice(None), *source)]
    return flipped  # fmt: skip


@pytest.mark.parametrize(("shape", "patch"), [((11, 9), (6, 6)), ((4, 9), (6, 5)), ((7, 6, 5), (4, 4, 4))])
def test_logits_under_small_rotations(shape: tuple[int, ...], patch: tuple[int, ...]) -> None:
    store = MadeStore(shape, 5)
    store.cases["one"].image /= 100
    ones = (1,) * len(shape)
    turning = Augmentation(affine=1, rotation=30, scaling=(0.7, 1.4), intensity=0, rotate90=0.5)
    patches = Patches(
        store, ["one"], patch, seed=0, augmentation=turning, recordings={"t": store.recording(logits=ones)}
    )
    padded = 0
    for number in range(8):
        sample, place = patches[number], patches.places[number]
        expected = naively(store.case("one").image, place.start, place.drawn)
        np.testing.assert_allclose(said(patches, number)["t"]["logits"], expected, atol=0.02)
        nearest = naively(np.ones((1, *shape)), place.start, place.drawn)
        assert sample["inside"][nearest > 0.999].all() and not sample["inside"][nearest < 1e-3].any()
        padded += int(not sample["inside"].all())
    assert padded
