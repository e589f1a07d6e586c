"""Where the voxels of nnU-Net's preprocessed array lie in the array of the file."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel
import numpy as np

from segdistill.data.geometry import Geometry

PHOTOGRAPHS = "NaturalImage2DIO"
READERS = (
    "SimpleITKIO",
    "NibabelIO",
    "Tiff3DIO",
    PHOTOGRAPHS,
    "SimpleITKIOWithReorient",
    "NibabelIOWithReorient",
)
# What nnU-Net puts before the spacing of a plane, so that its axis is the coarsest.
FAR = 999.0


@dataclass(frozen=True)
class Reading:
    """How the reader that a plan names lays out an image: an array (C, z, y, x), always with three axes.

    Attributes:
        axes: by axis of the reader's array the axis of the file's array; None: one slice, added for a plane.
        flipped: the reader's axes that run backwards along those of the file.
        spacing: millimetres along the reader's axes, as nnU-Net sees them.
        shape: voxels along the file's axes.
    """

    axes: tuple[int | None, ...]
    flipped: tuple[bool, ...]
    spacing: tuple[float, ...]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, geometry: Geometry, reader: str) -> Reading:
        """The layout that `reader` gives an image of this geometry.

        SimpleITK and nibabel turn the axes round; the reader of photographs leaves rows and columns as they are and
        calls the pixels 1 mm wide. Readers "WithReorient" bring volumes to RAS+ first.
        """
        spacing, shape = geometry.spacing, geometry.shape
        if len(shape) == 2:
            if reader == PHOTOGRAPHS:
                return cls((None, 0, 1), (False,) * 3, (FAR, 1.0, 1.0), shape)
            return cls((None, 1, 0), (False,) * 3, (FAR * max(spacing), *spacing[::-1]), shape)
        order: tuple[int, ...] = (0, 1, 2)
        flipped: tuple[bool, ...] = (False,) * 3
        if reader.endswith("WithReorient"):
            turn = nibabel.orientations.io_orientation(
                geometry.affine
            )  # file's axis -> axis of RAS+ and sign
            order = tuple(int(axis) for axis in np.argsort(turn[:, 0]))
            flipped = tuple(bool(turn[axis, 1] < 0) for axis in order)
        axes = order[::-1]
        return cls(axes, flipped[::-1], tuple(spacing[axis] for axis in axes), shape)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """(C, *file) -> (C, z, y, x)."""
        present = [axis for axis in self.axes if axis is not None]
        array = image.transpose(0, *(1 + axis for axis in present))
        if len(present) < len(self.axes):
            array = array[:, None]
        return np.flip(array, tuple(1 + axis for axis, turned in enumerate(self.flipped) if turned))


@dataclass(frozen=True)
class Placement:
    """The way from nnU-Net's grid back to the file: scale, crop, transposition, reader.

    Attributes:
        reading: the reader's layout.
        transpose: `transpose_forward` of the plan.
        offset: first voxel of the crop, along the transposed axes.
        cropped: voxels of the crop.
        resampled: voxels of nnU-Net's grid.
    """

    reading: Reading
    transpose: tuple[int, ...]
    offset: tuple[int, ...]
    cropped: tuple[int, ...]
    resampled: tuple[int, ...]

    def to_original(self) -> np.ndarray:
        """(d + 1, d + 1): index on nnU-Net's grid -> place in the array of the file, in voxels.

        A plane has d = 2: nnU-Net's first axis, which has one slice, is left out.
        """
        d = len(self.reading.shape)
        matrix = np.zeros((d + 1, d + 1))
        matrix[d, d] = 1
        kept = [k for k, axis in enumerate(self.transpose) if self.reading.axes[axis] is not None]
        for column, k in enumerate(kept):
            axis = self.transpose[k]
            row = self.reading.axes[axis]
            assert row is not None
            scale = self.cropped[k] / self.resampled[k]
            start = 0.5 * scale - 0.5 + self.offset[k]  # centres: (i + 1/2) scale - 1/2
            if self.reading.flipped[axis]:
                scale, start = -scale, self.reading.shape[row] - 1 - start
            matrix[row, column], matrix[row, d] = scale, start
        return matrix
