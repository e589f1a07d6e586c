"""From an image's own grid to the grid that networks see, and back to exactly the original shape.

Three steps, each undone by `from_grid` in reverse: volumes are turned to the closest RAS+ orientation (axes
permuted and flipped, never rotated), resampled, and cropped or padded. Only the spatial geometry counts here;
channels ride along.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from segdistill.data.resampling import Order, resample
from segdistill.errors import SegdistillError

if TYPE_CHECKING:
    from segdistill.data.geometry import Geometry

Crop = tuple[int | tuple[int, int] | None, ...]

ANISOTROPIC = 3.0  # spacing of the coarse axis over the finest beyond which slices are not interpolated
LARGEST = 2**31  # voxels; more is a misspelt spacing, not an image


@dataclass(frozen=True)
class Grid:
    """How one case is oriented, resampled and cropped.

    Per-axis fields after `flips` are in canonical axis order. `origin` is where the final array begins on the
    resampled one: negative where it is padded.
    """

    shape: tuple[int, ...]  # of the original array
    affine: tuple[tuple[float, ...], ...]  # of the original array, voxel index -> mm, RAS+
    axes: tuple[int, ...]  # canonical axis k is original axis axes[k] ...
    flips: tuple[bool, ...]  # ... reversed where flips[k]
    resampled: tuple[int, ...]
    origin: tuple[int, ...]
    target: tuple[int, ...]  # shape after everything
    coarse: int | None  # the canonical axis along which the nearest slice is taken, if any

    @property
    def oriented(self) -> tuple[int, ...]:
        """Shape after orientation."""
        return tuple(self.shape[axis] for axis in self.axes)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Spacing of the target grid in mm, after rounding to whole voxels."""
        steps = np.linalg.norm(np.asarray(self.affine)[:3, : len(self.shape)], axis=0)
        return tuple(
            float(steps[axis]) * before / after
            for axis, before, after in zip(self.axes, self.oriented, self.resampled, strict=True)
        )

    @property
    def to_original(self) -> np.ndarray:
        """(d + 1, d + 1), homogeneous: index of a voxel of the target grid -> its place in the original array."""
        dims = len(self.shape)
        matrix = np.zeros((dims + 1, dims + 1))
        matrix[dims, dims] = 1
        for k, axis in enumerate(self.axes):
            step = self.oriented[k] / self.resampled[k]
            first = (self.origin[k] + 0.5) * step - 0.5
            matrix[axis, k] = -step if self.flips[k] else step
            matrix[axis, dims] = self.oriented[k] - 1 - first if self.flips[k] else first
        return matrix

    @property
    def inside(self) -> tuple[slice, ...]:
        """The part of the target grid that the image fills; the rest is padding. May be empty."""
        return tuple(
            slice(min(max(0, -start), size), max(0, min(size, n - start)))
            for start, size, n in zip(self.origin, self.target, self.resampled, strict=True)
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: _listed(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Grid:
        """The inverse of `to_dict`."""
        return cls(**{name: _tupled(value) for name, value in values.items()})


def plan_grid(
    geometry: Geometry,
    spacing: Sequence[float | None] | None,
    spatial_dims: int,
    crop: Crop | None = None,
) -> Grid:
    """Say how an array of this geometry gets to the target spacing.

    Args:
        spacing: mm along the canonical axes (volumes: x, y, z); None, for all or one axis, keeps what is.
        spatial_dims: 3 turns to RAS+; 2 (photographs) leaves rows and columns where they are.
        crop: after resampling, for each axis: a size (cut or padded evenly at both ends), or a pair
            (start, stop) of voxels, or None to leave the axis alone.

    Raises:
        SegdistillError: dimensions, spacing or crop that do not fit the image.
    """
    dims = len(geometry.shape)
    if dims != spatial_dims:
        raise SegdistillError(
            f"an image of {dims} spatial dimensions {geometry.shape} in a {spatial_dims}-D dataset; "
            "keep photographs and volumes in separate datasets"
        )
    axes, flips = _canonical(geometry) if dims == 3 else (tuple(range(dims)), (False,) * dims)
    shape = tuple(int(geometry.shape[axis]) for axis in axes)
    before = tuple(float(geometry.spacing[axis]) for axis in axes)
    if not all(math.isfinite(step) and step > 0 for step in before):
        raise SegdistillError(f"voxel spacing {before} mm is not positive; mend the file's header")
    after = _target_spacing(before, spacing)
    resampled = tuple(
        n if old == new else max(1, round(n * old / new))
        for n, old, new in zip(shape, before, after, strict=True)
    )
    if math.prod(resampled) > LARGEST:
        raise SegdistillError(
            f"data.spacing: {after} mm would make an image of {' x '.join(map(str, resampled))} voxels; "
            "ask for a coarser one"
        )
    origin, target = _cropped(resampled, crop)
    return Grid(
        shape=tuple(int(n) for n in geometry.shape),
        affine=tuple(tuple(float(value) for value in row) for row in np.asarray(geometry.affine)),
        axes=axes,
        flips=flips,
        resampled=resampled,
        origin=origin,
        target=target,
        coarse=_coarse_axis(before) if _coarse_axis(before) is not None else _coarse_axis(after),
    )


def to_grid(array: np.ndarray, grid: Grid, order: Order, fill: float = 0) -> np.ndarray:
    """Bring (C, *original) to (C, *target) float32; padding is `fill`."""
    _expect(array, grid.shape, "the original grid")
    out = np.full((len(array), *grid.target), fill, np.float32)
    for c in range(len(array)):  # channel by channel: a volume at two resolutions is large enough
        whole = resample(_orient(array[c : c + 1], grid), grid.resampled, order, grid.coarse)[0]
        out[c][grid.inside] = whole[_overlap(grid)]
    return out


def label_to_grid(
    label: np.ndarray, grid: Grid, order: Literal["linear", "nearest"] = "linear"
) -> np.ndarray:
    """Bring (L, *original) int16 to (L, *target) int16, padded with 0.

    `linear` interpolates each class's one-hot map: the largest value wins, ties go to the smaller class.
    Ignored voxels (-1) take part like a class. Each channel stands for itself, as overlapping regions need.
    """
    _expect(label, grid.shape, "the original grid")
    out = np.zeros((len(label), *grid.target), np.int16)
    for c in range(len(label)):
        oriented = _orient(label[c : c + 1], grid)
        if order == "nearest":
            whole = resample(oriented, grid.resampled, order)[0]
        else:
            whole = _likeliest(oriented, grid)
        out[c][grid.inside] = whole[_overlap(grid)]
    return out


def from_grid(probabilities: np.ndarray, grid: Grid) -> np.ndarray:
    """Bring (C, *target) back to (C, *original) float32, linearly; logits do as well.

    What a crop had cut away is 0 in every channel, which argmax reads as background
    and a threshold as absent.
    """
    _expect(probabilities, grid.target, "the target grid")
    out = np.empty((len(probabilities), *grid.shape), np.float32)
    whole = np.zeros((1, *grid.resampled), np.float32)
    for c in range(len(probabilities)):
        whole[0][_overlap(grid)] = probabilities[c][grid.inside]
        back = resample(whole, grid.oriented, "linear", grid.coarse)
        for k, flip in enumerate(grid.flips):
            back = np.flip(back, 1 + k) if flip else back
        out[c] = back[0].transpose(np.argsort(grid.axes))
    return out


def _canonical(geometry: Geometry) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    from nibabel.orientations import io_orientation

    orientation = io_orientation(np.asarray(geometry.affine))
    if np.isnan(orientation).any():
        raise SegdistillError(
            "the affine of the image is singular (an axis without direction); mend its header"
        )
    axes = tuple(int(axis) for axis in np.argsort(orientation[:, 0]))
    return axes, tuple(bool(orientation[axis, 1] < 0) for axis in axes)


def _target_spacing(before: tuple[float, ...], wanted: Sequence[float | None] | None) -> tuple[float, ...]:
    if wanted is None:
        return before
    if len(wanted) != len(before) or any(step is not None and not 0 < step < math.inf for step in wanted):
        raise SegdistillError(
            f"data.spacing: {list(wanted)} must be {len(before)} positive numbers of mm (or null to keep)"
        )
    return tuple(old if new is None else float(new) for old, new in zip(before, wanted, strict=True))


def _cropped(shape: tuple[int, ...], crop: Crop | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Origin and shape of the final array on the resampled one."""
    if crop is None:
        return (0,) * len(shape), shape
    if len(crop) != len(shape):
        raise SegdistillError(
            f"data.crop: {list(crop)} must have {len(shape)} entries: a size, [start, stop] or null"
        )
    origin, target = [], []
    for n, cut in zip(shape, crop, strict=True):
        if cut is None:
            start, stop = 0, n
        elif isinstance(cut, int):
            start, stop = (n - cut) // 2, (n - cut) // 2 + cut
        else:
            start, stop = cut
        if stop <= start or start >= n or stop <= 0:
            raise SegdistillError(f"data.crop: {list(crop)} leaves nothing of an image of shape {shape}")
        origin.append(start)
        target.append(stop - start)
    return tuple(origin), tuple(target)


def _coarse_axis(spacing: tuple[float, ...]) -> int | None:
    """The one axis that is much coarser than the finest, if there is exactly one (as nnU-Net does)."""
    coarse = [k for k, step in enumerate(spacing) if step > ANISOTROPIC * min(spacing)]
    return coarse[0] if len(spacing) == 3 and len(coarse) == 1 else None


def _overlap(grid: Grid) -> tuple[slice, ...]:
    """`grid.inside` seen from the resampled image."""
    return tuple(
        slice(part.start + begin, part.stop + begin)
        for part, begin in zip(grid.inside, grid.origin, strict=True)
    )


def _orient(array: np.ndarray, grid: Grid) -> np.ndarray:
    array = array.transpose(0, *(1 + axis for axis in grid.axes))
    for k, flip in enumerate(grid.flips):
        array = np.flip(array, 1 + k) if flip else array
    return array


def _likeliest(label: np.ndarray, grid: Grid) -> np.ndarray:
    """(1, *oriented) classes -> (*resampled)."""
    if grid.oriented == grid.resampled:
        return label[0]
    winner = np.zeros(grid.resampled, np.int16)
    best = np.full(grid.resampled, -1.0, np.float32)
    for value in np.unique(label):
        share = resample((label == value).astype(np.float32), grid.resampled, "linear", grid.coarse)[0]
        larger = share > best + 1e-6  # what rounding makes of a tie is still a tie
        best[larger] = share[larger]
        winner[larger] = value
    return winner


def _expect(array: np.ndarray, shape: tuple[int, ...], what: str) -> None:
    if array.shape[1:] != shape:
        raise ValueError(f"array (channels, *space) of shape {array.shape} does not lie on {what} {shape}")


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


def _tupled(value: Any) -> Any:
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value
