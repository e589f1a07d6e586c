"""Random changes of a patch: geometric ones for image and label together, intensity for the image alone.

Drawing is apart from applying: `Augmentation.draw` says what will happen to the geometry (a `Drawn` record),
and `apply_geometric` does it to any array on the grid of the patch, so that what a teacher said about it can
be turned and flipped with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy import ndimage

from segdistill.errors import SegdistillError

Probability = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(gt=0)]
Strength = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class Drawn:
    """The geometry drawn for one patch; applied in the order matrix, turn, flips.

    Attributes:
        size: sides of the patch that comes out, in voxels.
        matrix: small rotation and scaling, row by row: where the voxel at offset `o` from the centre of the
            patch comes from is `matrix @ o` from the centre of the crop. None: none.
        turn: (first axis, second axis, number of quarter turns). None: none.
        flips: spatial axes along which the patch is mirrored.
    """

    size: tuple[int, ...]
    matrix: tuple[tuple[float, ...], ...] | None = None
    turn: tuple[int, int, int] | None = None
    flips: tuple[int, ...] = ()

    @property
    def reach(self) -> tuple[int, ...]:
        """Sides of the crop that holds every voxel the patch is made of: `size`, or more under a rotation."""
        if self.matrix is None:
            return self.size
        half = (np.array(self.size) - 1) / 2
        needed = np.ceil(np.abs(np.array(self.matrix)) @ half - 1e-6).astype(int)
        # same parity as the patch, so that both centres lie on the same voxel (or between the same two)
        return tuple(
            max(n, 2 * int(r) + (2 if n % 2 == 0 else 1)) for n, r in zip(self.size, needed, strict=True)
        )


def apply_geometric(array: np.ndarray, drawn: Drawn, order: int) -> np.ndarray:
    """Apply what was drawn to `array` (channels, *space); its centre stays in the centre.

    Args:
        array: of `drawn.reach` (nothing is missing), or of another size with the same centre (what lies
            outside is 0). Where no matrix was drawn, any grid will do: a map at a coarser stride is turned
            just the same.
        drawn: from `Augmentation.draw`.
        order: 0 nearest (labels), 1 linear (images, probabilities); matters for the matrix only.

    Returns:
        (channels, *drawn.size) after a matrix, otherwise the shape of `array`; same dtype; a copy or a view.
    """
    if drawn.matrix is not None:
        matrix = np.array(drawn.matrix)
        offset = (np.array(array.shape[1:]) - 1) / 2 - matrix @ ((np.array(drawn.size) - 1) / 2)
        turned = np.empty((len(array), *drawn.size), dtype=array.dtype)
        for channel, out in zip(array, turned, strict=True):
            ndimage.affine_transform(
                channel, matrix, offset, output=out, order=order, mode="constant", prefilter=False
            )
        array = turned
    if drawn.turn is not None:
        first, second, quarters = drawn.turn
        array = np.rot90(array, quarters, axes=(1 + first, 1 + second))
    return np.flip(array, tuple(1 + axis for axis in drawn.flips)) if drawn.flips else array


def before_turning(array: np.ndarray, drawn: Drawn) -> np.ndarray:
    """A view of `array` (channels, *space), which was turned and flipped as drawn, as it lay before."""
    array = np.flip(array, tuple(1 + axis for axis in drawn.flips)) if drawn.flips else array
    if drawn.turn is None:
        return array
    first, second, quarters = drawn.turn
    return np.rot90(array, -quarters, axes=(1 + first, 1 + second))


@dataclass(frozen=True)
class Augmentation:
    """Random geometric and intensity changes of training patches.

    Attributes:
        flip_axes: spatial axes that may be mirrored; None: all of them.
        flip: probability of a flip, for each of those axes.
        rotate90: probability of 1 to 3 quarter turns, in a plane whose two sides (and spacings) are equal.
        affine: probability of a small rotation and scaling. It costs more than all the rest, and knowledge
            that was cached on a coarse grid cannot follow it.
        rotation: largest angle in degrees, about each axis.
        scaling: range of the zoom, drawn log-uniformly; above 1 things grow.
        intensity: probability of each of the four changes below, for each channel.
        noise: largest standard deviation of Gaussian noise, in standard deviations of the patch's channel.
        brightness: largest shift up or down, in the same unit.
        contrast: range of the factor about the channel's mean.
        gamma: range of the exponent, on the channel brought to 0..1 and back.
    """

    flip_axes: tuple[Annotated[int, Field(ge=0, le=2)], ...] | None = None
    flip: Probability = 0.5
    rotate90: Probability = 0.0
    affine: Probability = 0.2
    rotation: Annotated[float, Field(ge=0, le=180)] = 15.0
    scaling: tuple[Factor, Factor] = (0.85, 1.2)
    intensity: Probability = 0.15
    noise: Strength = 0.2
    brightness: Strength = 0.3
    contrast: tuple[Factor, Factor] = (0.75, 1.3)
    gamma: tuple[Factor, Factor] = (0.7, 1.5)

    @property
    def on_grid(self) -> bool:
        """True where only flips and quarter turns can happen: nothing is ever interpolated."""
        return self.affine == 0 or (self.rotation == 0 and tuple(self.scaling) == (1.0, 1.0))

    def draw(
        self, rng: np.random.Generator, size: Sequence[int], spacing: Sequence[float] | None = None
    ) -> Drawn:
        """Draw the geometry of one patch.

        Args:
            rng: source of the random numbers.
            size: sides of the patch.
            spacing: mm along each axis; rotations are then true ones in mm. None: equal along all axes.
        """
        size = tuple(int(n) for n in size)
        steps = np.ones(len(size)) if spacing is None else np.asarray(spacing, dtype=float)
        axes = range(len(size)) if self.flip_axes is None else self.flip_axes
        if any(axis >= len(size) for axis in axes):
            raise SegdistillError(
                f"augmentation.flip_axes: {tuple(axes)} names an axis that a {len(size)}-D patch lacks; "
                f"choose among {tuple(range(len(size)))}"
            )
        flips = tuple(axis for axis in axes if rng.random() < self.flip)
        turn = self._draw_turn(rng, size, steps) if rng.random() < self.rotate90 else None
        asked = rng.random() < self.affine and not self.on_grid
        return Drawn(size, self._draw_matrix(rng, steps) if asked else None, turn, flips)

    def _draw_turn(
        self, rng: np.random.Generator, size: tuple[int, ...], steps: np.ndarray
    ) -> tuple[int, int, int] | None:
        planes = [
            (a, b)
            for a, b in combinations(range(len(size)), 2)
            if size[a] == size[b] and math.isclose(steps[a], steps[b], rel_tol=0.05)
        ]
        if not planes:
            return None
        first, second = planes[rng.integers(len(planes))]
        return first, second, int(rng.integers(1, 4))

    def _draw_matrix(self, rng: np.random.Generator, steps: np.ndarray) -> tuple[tuple[float, ...], ...]:
        matrix = np.eye(len(steps))
        for a, b in combinations(range(len(steps)), 2):
            angle = math.radians(rng.uniform(-self.rotation, self.rotation))
            about = np.eye(len(steps))
            about[[a, b], [a, b]] = math.cos(angle)
            about[a, b], about[b, a] = -math.sin(angle), math.sin(angle)
            matrix = matrix @ about
        zoom = math.exp(rng.uniform(*np.log(self.scaling)))
        in_voxels = matrix * steps[None, :] / steps[:, None] / zoom
        return tuple(tuple(float(x) for x in row) for row in in_voxels)

    def change_intensity(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Noise, brightness, contrast and gamma on a copy of `image` (channels, *space), float32."""
        image = np.array(image, dtype=np.float32, order="C")
        for channel in image:
            chosen = rng.random(4) < self.intensity
            noise, shift = rng.uniform(0, self.noise), rng.uniform(-self.brightness, self.brightness)
            contrast, exponent = (math.exp(rng.uniform(*np.log(r))) for r in (self.contrast, self.gamma))
            if not chosen.any():
                continue
            mean, deviation = np.float32(channel.mean()), np.float32(channel.std())
            if chosen[0]:
                grain = rng.standard_normal(channel.shape, dtype=np.float32)
                channel += np.float32(noise) * deviation * grain
            if chosen[1]:
                channel += np.float32(shift) * deviation
            if chosen[2]:
                channel += (channel - mean) * np.float32(contrast - 1)
            if chosen[3]:
                low, high = channel.min(), channel.max()
                if high > low:
                    channel[...] = ((channel - low) / (high - low)) ** np.float32(exponent) * (
                        high - low
                    ) + low
        return image

    def __call__(
        self, image: np.ndarray, label: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Augment `image` (C, *space) and `label` (L, *space) together; what turns in from outside is 0."""
        drawn = self.draw(rng, image.shape[1:])
        image = self.change_intensity(apply_geometric(image, drawn, order=1), rng)
        return image, np.ascontiguousarray(apply_geometric(label, drawn, order=0))
