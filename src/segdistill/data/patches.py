"""Training patches: sample n is a pure function of the seed and n."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from segdistill.data.augmentation import Augmentation, apply_geometric, before_turning
from segdistill.data.places import Cases, Place, Places
from segdistill.data.slices import Slices, across
from segdistill.errors import SegdistillError

UNLABELLED = -2
"""The label of every voxel of an image that has none."""


class StoredMap(Protocol):
    """A map on the grid of the image or a coarser one (see `segdistill.teachers.cache.entry.StoredMap`)."""

    @property
    def values(self) -> np.ndarray: ...
    def decoded(self, piece: np.ndarray, /) -> np.ndarray: ...


class Recording(Protocol):
    """What was recorded of a teacher (see `segdistill.teachers.cache.entry.Entry`).

    strides: by stage, voxels of the stored image that one voxel covers along each of its axes.
    maps: by stage, the whole map of a case, (C, *size).
    """

    @property
    def strides(self) -> Mapping[str, tuple[int, ...]]: ...
    def maps(self, case: str, /) -> Mapping[str, StoredMap]: ...


def cut(array: np.ndarray, start: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """The part of `array` (channels, *space) that begins at `start`; 0 where it lies outside. A view where possible."""
    here, there = overlap(start, size, array.shape[1:])
    part = array[here]
    if part.shape[1:] == tuple(size):
        return np.asarray(part)
    out = np.zeros((len(array), *size), dtype=array.dtype)
    out[there] = part
    return out


def overlap(
    start: Sequence[int], size: Sequence[int], shape: Sequence[int]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Of a part that begins at `start` in an image of `shape`: where it lies in the image, and in the part itself."""
    inside = [(max(s, 0), max(min(s + n, limit), 0)) for s, n, limit in zip(start, size, shape, strict=True)]
    here = (slice(low, high) for low, high in inside)
    there = (slice(low - s, max(high - s, low - s)) for (low, high), s in zip(inside, start, strict=True))
    return (slice(None), *here), (slice(None), *there)


class Patches:
    """Endless numbered samples: random patches of random cases, with augmentation.

    A resumed run, or one shared among several processes, sees the same samples, since number `n` is made from
    random numbers seeded by (seed, n) alone. Where the patch lies does not depend on the augmentation.

    Args:
        store: preprocessed cases.
        cases: names to draw from, each as likely as another.
        patch_size: sides in voxels (three, or two for photographs and slices). Along an axis where the image
            is smaller it is padded with 0, the image at a random place in it.
        seed: first half of every sample's seed.
        oversample_foreground: probability that the patch (before any small rotation) is made to hold a random
            foreground voxel of a random one of the classes that the case has.
        augmentation: None: none.
        slices: volumes read as slices; None: as they are.
        sites: the site of each case. Sample n is then of site n modulo their number, in alphabetical order, so that
            every batch of as many samples has all of them; samples say the number of their site, -1 without label.
        unlabelled: cases without label, whose samples have UNLABELLED everywhere in the label.
        unlabelled_share: probability that a sample is drawn from those.
        spacing: mm along each axis of the stored images; small rotations are then rigid in mm.
        recordings: what was recorded of teachers, by name: `told` says it. Samples then say `inside`, which voxels lie
            in the image, and patches begin at multiples of the coarsest stride.

    Raises:
        SegdistillError: no cases, a patch size with the wrong number of sides or that is no multiple of the strides,
            or only slices with foreground asked for and none there.
    """

    def __init__(
        self,
        store: Cases,
        cases: Sequence[str],
        patch_size: Sequence[int],
        *,
        seed: int,
        oversample_foreground: float = 1 / 3,
        augmentation: Augmentation | None = None,
        slices: Slices | None = None,
        sites: Mapping[str, str] | None = None,
        unlabelled: Sequence[str] = (),
        unlabelled_share: float = 0.0,
        spacing: Sequence[float] | None = None,
        recordings: Mapping[str, Recording] | None = None,
    ) -> None:
        self.store = store
        self.patch_size = tuple(int(n) for n in patch_size)
        self.seed = seed
        self.augmentation = augmentation
        self.slices = slices
        self.recordings = dict(recordings or {})
        strides = [across(slices, s) for one in self.recordings.values() for s in one.strides.values()]
        strides = strides or [(1,) * len(self.patch_size)]
        self.places = Places(
            store, cases, patch_size, seed=seed, oversample_foreground=oversample_foreground,
            augmentation=augmentation, slices=slices, sites=sites, unlabelled=unlabelled,
            unlabelled_share=unlabelled_share, spacing=spacing,
            steps=[math.lcm(*along) for along in zip(*strides, strict=True)],
        )  # fmt: skip
        steps = self.places.steps
        if any(side % step for side, step in zip(self.patch_size, steps, strict=True)):
            raise SegdistillError(
                f"data.patch_size {list(self.patch_size)} is no multiple of the strides {list(steps)} at which "
                "the teachers' maps were recorded; choose such a patch, or knowledge=online"
            )
        label = store.case(self.places.cases[0]).label
        self._layers = 1 if label is None else len(label)

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Sample `number`: `image` (C, *patch) float32 and `label` (L, *patch) int16.

        With sites also `site`, with recordings `inside` (1, *patch) bool.

        Raises:
            SegdistillError: a case without label that is not among the unlabelled ones.
        """
        place = self.places[number]
        case = self.store.case(place.case)
        if case.label is None and place.case not in self.places.unlabelled:
            raise SegdistillError(
                f"case {place.case} has no label, so it cannot be trained on; leave it out of the split"
            )
        image = self._read(case.image, place, order=1)
        if case.label is None:
            label = np.full((self._layers, *self.patch_size), UNLABELLED, np.int16)
        else:
            label = self._read(case.label, place, order=0)
        if self.augmentation is not None:
            rng = np.random.default_rng((self.seed, number, 2))
            image = self.augmentation.change_intensity(image, rng)
        sample: dict[str, Any] = {
            "image": np.array(image, np.float32, order="C"),
            "label": np.array(label, np.int16, order="C"),
        }
        if sites := self.places.by_site:
            unknown = case.label is None  # an image without label is of no site that we know
            sample["site"] = np.array(-1 if unknown else number % len(sites), dtype=np.int64)
        if self.recordings:
            whole = np.broadcast_to(np.uint8(1), (1, *case.image.shape[1:]))
            sample["inside"] = self._read(whole, place, order=0) > 0
        return sample

    def told(self, numbers: Sequence[int]) -> dict[str, dict[str, np.ndarray]]:
        """What teachers said of some samples: by teacher and stage (sample, C, *patch / stride) float16.

        Each map is copied once, from the mapped file to its place in the batch, turned and flipped on the way.
        """
        places = [self.places[number] for number in numbers]
        told: dict[str, dict[str, np.ndarray]] = {}
        for name, recording in self.recordings.items():
            of_cases, told[name] = [recording.maps(place.case) for place in places], {}
            for stage, stride in recording.strides.items():
                stride = across(self.slices, stride)
                size = (n // step for n, step in zip(self.patch_size, stride, strict=True))
                out = np.empty((len(places), len(of_cases[0][stage].values), *size), np.float16)
                for into, maps, place in zip(out, of_cases, places, strict=True):
                    self._tell(into, maps[stage], place, stride)
                told[name][stage] = out
        return told

    def _tell(self, out: np.ndarray, stored: StoredMap, place: Place, stride: Sequence[int]) -> None:
        """Write what was recorded of the place, turned and flipped; 0 where it lies outside of the image."""
        if place.drawn.matrix is not None:  # scipy interpolates nothing in half precision
            piece = stored.decoded(self._cut(stored.values, place, stride)).astype(np.float32)
            out[...] = apply_geometric(piece, place.drawn, order=1)
            return
        values = self._slice(stored.values, place)
        here, there = overlap(*self._extent(place, stride), values.shape[1:])
        straight = before_turning(out, place.drawn)
        if straight[there].shape != straight.shape:
            out[...] = 0
        straight[there] = stored.decoded(values[here])

    def _read(self, array: np.ndarray, place: Place, order: int) -> np.ndarray:
        return apply_geometric(self._cut(array, place), place.drawn, order)

    def _cut(self, array: np.ndarray, place: Place, stride: Sequence[int] | None = None) -> np.ndarray:
        """What the patch at `place` is made of, of a map at this stride; 0 where it lies outside."""
        return cut(self._slice(array, place), *self._extent(place, stride))

    def _slice(self, array: np.ndarray, place: Place) -> np.ndarray:
        return array if self.slices is None or place.index is None else self.slices.take(array, place.index)

    def _extent(
        self, place: Place, stride: Sequence[int] | None = None
    ) -> tuple[Sequence[int], Sequence[int]]:
        """Start and size of what the patch is made of, in voxels of a map at this stride."""
        reach = place.drawn.reach
        start = [s - (n - m) // 2 for s, n, m in zip(place.start, reach, self.patch_size, strict=True)]
        if stride is None:
            return start, reach
        return (
            [s // step for s, step in zip(start, stride, strict=True)],
            [n // step for n, step in zip(reach, stride, strict=True)],
        )
