"""A 3-D set read as 2-D slices along one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field


@dataclass(frozen=True)
class Slices:
    """Volumes read as slices, for 2-D networks; answers are stacked back and scored per volume.

    Attributes:
        axis: array axis (of x, y, z) across which the slices are taken; 2: axial.
        keep: slices seen in training: all, or those with foreground only. Prediction reads all in any case.
    """

    axis: Annotated[int, Field(ge=0, le=2)] = 2
    keep: Literal["all", "foreground"] = "all"

    def take(self, array: np.ndarray, index: int) -> np.ndarray:
        """Slice `index` of `array` (C, x, y, z): (C, *the two other axes, in their order), a view."""
        return array[(slice(None),) * (1 + self.axis) + (index,)]

    def with_foreground(self, label: np.ndarray) -> np.ndarray:
        """Indices of the slices of `label` (L, x, y, z) that hold any class above background."""
        others = tuple(axis for axis in range(4) if axis != 1 + self.axis)
        return np.flatnonzero((np.asarray(label) > 0).any(axis=others))


def across(slices: Slices | None, stride: Sequence[int]) -> tuple[int, ...]:
    """A stride along the axes of an image, along those that a network sees: the one across slices is left out."""
    return tuple(n for axis, n in enumerate(stride) if slices is None or axis != slices.axis)


def along(slices: Slices | None, stride: Sequence[int]) -> tuple[int, ...]:
    """The reverse: a stride along the axes that a network sees, along those of the image; 1 across slices."""
    return tuple(stride) if slices is None else (*stride[: slices.axis], 1, *stride[slices.axis :])
