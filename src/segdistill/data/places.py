"""Where training patches are cut: sample n is a pure function of the seed and n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from segdistill.data.augmentation import Augmentation, Drawn
from segdistill.data.slices import Slices
from segdistill.errors import SegdistillError


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


class Places:
    """Endless numbered places: random patches of random cases, and how each is turned.

    Where a patch lies does not depend on the augmentation.

    Args:
        steps: along each axis of a patch, what its start is a multiple of.
        others: as `segdistill.data.patches.Patches` takes them.

    Raises:
        SegdistillError: no cases, a patch size with the wrong number of sides, only slices with foreground asked for
            and none there, a site without cases.
    """

    def __init__(
        self,
        store: Cases,
        cases: Sequence[str],
        patch_size: Sequence[int],
        *,
        seed: int,
        oversample_foreground: float,
        augmentation: Augmentation | None,
        slices: Slices | None,
        sites: Mapping[str, str] | None,
        unlabelled: Sequence[str],
        unlabelled_share: float,
        spacing: Sequence[float] | None,
        steps: Sequence[int],
    ) -> None:
        self.store = store
        self.cases = tuple(cases)
        self.patch_size = tuple(int(n) for n in patch_size)
        self.seed = seed
        self.oversample_foreground = oversample_foreground
        self.augmentation = augmentation
        self.slices = slices
        self.steps = tuple(steps)
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
        self.by_site: list[tuple[str, ...]] = []
        if sites is not None:
            there = sorted(set(sites.values()))
            self.by_site = [tuple(name for name in self.cases if sites[name] == site) for site in there]
            empty = [site for site, names in zip(there, self.by_site, strict=True) if not names]
            if empty:
                raise SegdistillError(
                    f"data.sites: no training case is of {', '.join(empty)}; look at the splits"
                )
        dimensions = store.case(self.cases[0]).image.ndim - 1 - (slices is not None)
        if len(self.patch_size) != dimensions:
            raise SegdistillError(
                f"data.patch_size {list(self.patch_size)} has {len(self.patch_size)} sides, but the images "
                f"{'read as slices ' if slices else ''}have {dimensions} axes; give one side for each axis"
            )

    def __getitem__(self, number: int) -> Place:
        """Case, position and geometry of sample `number`."""
        rng = np.random.default_rng((self.seed, number, 0))
        cases = self.cases
        if self.by_site:
            cases = self.by_site[number % len(self.by_site)]
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
        return Place(name, index, start, drawn)

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
