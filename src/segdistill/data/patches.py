"""Training patches: sample n is a pure function of the seed and n."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from segdistill.data.augmentation import Augmentation, Drawn, apply_geometric
from segdistill.data.slices import Slices, across
from segdistill.errors import SegdistillError

UNLABELLED = -2
"""The label of every voxel of an image that has none."""


@runtime_checkable
class CaseArrays(Protocol):
    """What patches need of a preprocessed case (see `segdistill.data.store.StoredCase`)."""

    @property
    def image(self) -> np.ndarray: ...
    @property
    def label(self) -> np.ndarray | None: ...
    @property
    def foreground(self) -> np.ndarray: ...


@runtime_checkable
class Cases(Protocol):
    """Preprocessed cases by name (see `segdistill.data.store.Store`)."""

    def case(self, id: str, /) -> CaseArrays: ...


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


@dataclass(frozen=True)
class Place:
    """Where one patch is cut and how it is turned.

    Attributes:
        case: name of the case.
        index: number of the slice, where a volume is read as slices; else None.
        start: first voxel of the patch along each of its axes, before rotation; below 0 where it is padded.
        drawn: flips, turns and the matrix applied to it.
    """

    case: str
    index: int | None
    start: tuple[int, ...]
    drawn: Drawn


def cut(array: np.ndarray, start: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """The part of `array` (channels, *space) that begins at `start`; 0 where it lies outside. A view where possible."""
    inside = [
        (max(s, 0), max(min(s + n, limit), 0))
        for s, n, limit in zip(start, size, array.shape[1:], strict=True)
    ]
    part = array[(slice(None), *(slice(low, high) for low, high in inside))]
    if part.shape[1:] == tuple(size):
        return np.asarray(part)
    out = np.zeros((len(array), *size), dtype=array.dtype)
    into = (slice(low - s, max(high - s, low - s)) for (low, high), s in zip(inside, start, strict=True))
    out[(slice(None), *into)] = part
    return out


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
        recordings: what was recorded of teachers, by name. Samples then say it, as `told`, cut, turned and flipped like
            the label, and `inside`, which voxels lie in the image. Patches begin at multiples of the coarsest stride.

    Raises:
        SegdistillError: no cases, a patch size with the wrong number of sides, a case without label, or only
            slices with foreground asked for and none there.
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
        self.cases = tuple(cases)
        self.patch_size = tuple(int(n) for n in patch_size)
        self.seed = seed
        self.oversample_foreground = oversample_foreground
        self.augmentation = augmentation
        self.slices = slices
        self.spacing = None if spacing is None else tuple(spacing)
        self.unlabelled, self.unlabelled_share = tuple(unlabelled), unlabelled_share
        if unlabelled_share and not unlabelled:
            raise SegdistillError(
                f"data.unlabelled.share: {unlabelled_share:g} of the samples should have no label; no case is without"
            )
        self._kept: dict[str, np.ndarray] = {}  # slices with foreground, by case
        if slices is not None and slices.keep == "foreground":
            self.cases = tuple(name for name in self.cases if len(store.case(name).foreground))
        if slices is not None and self.spacing is not None and len(self.spacing) == 3:
            self.spacing = tuple(mm for axis, mm in enumerate(self.spacing) if axis != slices.axis)
        if not self.cases:
            raise SegdistillError(
                "there is no case to cut patches from (no case was given, or none has foreground and "
                "slices.keep is 'foreground'); look at the split and the labels with `segdistill data check`"
            )
        self._by_site: list[tuple[str, ...]] = []
        if sites is not None:
            there = sorted(set(sites.values()))
            self._by_site = [tuple(name for name in self.cases if sites[name] == site) for site in there]
            empty = [site for site, names in zip(there, self._by_site, strict=True) if not names]
            if empty:
                raise SegdistillError(
                    f"data.sites: no training case is of {', '.join(empty)}; look at the splits"
                )
        first = store.case(self.cases[0])
        dimensions = first.image.ndim - 1 - (slices is not None)
        self._layers = 1 if first.label is None else len(first.label)
        if len(self.patch_size) != dimensions:
            raise SegdistillError(
                f"data.patch_size {list(self.patch_size)} has {len(self.patch_size)} sides, but the images "
                f"{'read as slices ' if slices else ''}have {dimensions} axes; give one side for each axis"
            )
        self.recordings = dict(recordings or {})
        strides = [across(slices, s) for one in self.recordings.values() for s in one.strides.values()]
        self.steps = tuple(math.lcm(*(stride[axis] for stride in strides)) for axis in range(dimensions))
        """Along each axis of a patch, what its start is a multiple of."""
        if any(side % step for side, step in zip(self.patch_size, self.steps, strict=True)):
            raise SegdistillError(
                f"data.patch_size {list(self.patch_size)} is no multiple of the strides {list(self.steps)} at which "
                "the teachers' maps were recorded; choose such a patch, or knowledge=online"
            )

    def place(self, number: int) -> Place:
        """Case, position and geometry of sample `number`."""
        return self._draw(number)[0]

    def _draw(self, number: int) -> tuple[Place, CaseArrays]:
        rng = np.random.default_rng((self.seed, number, 0))
        cases = self.cases
        if self._by_site:
            cases = self._by_site[number % len(self._by_site)]
        if self.unlabelled_share and rng.random() < self.unlabelled_share:
            cases = self.unlabelled
        name = cases[rng.integers(len(cases))]
        case = self.store.case(name)
        voxel = (
            self._foreground_voxel(case.foreground, rng)
            if rng.random() < self.oversample_foreground
            else None
        )
        space, index = case.image.shape[1:], None
        if self.slices is not None:
            axis = self.slices.axis
            if voxel is None:
                index = self._draw_slice(name, case, rng)
            else:
                index, voxel = int(voxel[axis]), np.delete(voxel, axis)
            space = tuple(n for other, n in enumerate(space) if other != axis)
        start = self._draw_start(space, voxel, rng)
        turning = np.random.default_rng((self.seed, number, 1))
        size, augmentation = self.patch_size, self.augmentation
        drawn = Drawn(size) if augmentation is None else augmentation.draw(turning, size, self.spacing)
        return Place(name, index, start, drawn), case

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Sample `number`: `image` (C, *patch) float32 and `label` (L, *patch) int16.

        With recordings also `told`, by teacher and stage (C, *patch / stride) float16, and `inside`
        (1, *patch) bool.
        """
        place, case = self._draw(number)
        if case.label is None and place.case not in self.unlabelled:
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
        if self._by_site:
            unknown = case.label is None  # an image without label is of no site that we know
            sample["site"] = np.array(-1 if unknown else number % len(self._by_site), dtype=np.int64)
        if self.recordings:
            sample["told"] = {name: self._told(one, place) for name, one in self.recordings.items()}
            whole = np.broadcast_to(np.uint8(1), (1, *case.image.shape[1:]))
            sample["inside"] = self._read(whole, place, order=0) > 0
        return sample

    def _told(self, recording: Recording, place: Place) -> dict[str, np.ndarray]:
        """What a teacher said of the place, at each stage."""
        told = {}
        for name, each in recording.maps(place.case).items():
            stride = across(self.slices, recording.strides[name])
            piece = each.decoded(self._cut(each.values, place, stride))
            if place.drawn.matrix is not None:  # scipy interpolates nothing in half precision
                piece = piece.astype(np.float32)
            values = apply_geometric(piece, place.drawn, order=1)
            told[name] = np.array(values, np.float16, order="C")  # out of the mapped file, once
        return told

    def _read(self, array: np.ndarray, place: Place, order: int) -> np.ndarray:
        return apply_geometric(self._cut(array, place), place.drawn, order)

    def _cut(self, array: np.ndarray, place: Place, stride: Sequence[int] | None = None) -> np.ndarray:
        """What the patch at `place` is made of, of a map at this stride; 0 where it lies outside."""
        if self.slices is not None and place.index is not None:
            array = self.slices.take(array, place.index)
        reach = place.drawn.reach
        start = [s - (n - m) // 2 for s, n, m in zip(place.start, reach, self.patch_size, strict=True)]
        if stride is not None:
            start = [s // step for s, step in zip(start, stride, strict=True)]
            reach = tuple(n // step for n, step in zip(reach, stride, strict=True))
        return cut(array, start, reach)

    def _foreground_voxel(self, foreground: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
        if len(foreground) == 0:
            return None
        present = np.unique(foreground[:, 0])
        rows = np.flatnonzero(foreground[:, 0] == present[rng.integers(len(present))])
        return np.asarray(foreground[rows[rng.integers(len(rows))], 1:])

    def _draw_slice(self, name: str, case: CaseArrays, rng: np.random.Generator) -> int:
        assert self.slices is not None
        if self.slices.keep == "all" or case.label is None:
            return int(rng.integers(case.image.shape[1 + self.slices.axis]))
        if name not in self._kept:
            self._kept[name] = self.slices.with_foreground(np.asarray(case.label))
        return int(self._kept[name][rng.integers(len(self._kept[name]))])

    def _draw_start(
        self, space: Sequence[int], voxel: np.ndarray | None, rng: np.random.Generator
    ) -> tuple[int, ...]:
        start = []
        for axis, (side, patch) in enumerate(zip(space, self.patch_size, strict=True)):
            low, high = min(0, side - patch), self._last(axis, side)
            if voxel is not None:  # in the middle half of the patch, unless the image's edge forbids it
                first, last = int(voxel[axis]) - (3 * patch) // 4, int(voxel[axis]) - patch // 4
                low, high = min(max(first, low), high), max(min(last, high), low)
            drawn = int(rng.integers(low, high + 1))
            start.append(drawn if self.steps[axis] == 1 else self._snapped(axis, drawn, side, voxel))
        return tuple(start)

    def _snapped(self, axis: int, start: int, side: int, voxel: np.ndarray | None) -> int:
        """The nearest multiple of the step at which the patch still begins in the image and holds the voxel."""
        step, patch = self.steps[axis], self.patch_size[axis]
        snapped = min(max(round(start / step) * step, 0), self._last(axis, side))
        if voxel is not None and not snapped <= voxel[axis] < snapped + patch:
            snapped = int(voxel[axis]) // step * step
        return snapped

    def _last(self, axis: int, side: int) -> int:
        """The last start of a patch: the first multiple of the step from which it reaches the end of the image."""
        step = self.steps[axis]
        return -(-max(0, side - self.patch_size[axis]) // step) * step
