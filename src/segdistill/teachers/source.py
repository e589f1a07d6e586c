"""A teacher that sees images in its own way: it answers for whole cases, on a grid of its own.

Its spacing, orientation, intensities, windows and classes may all be others than the student's. It is asked once for
each case, and what it says is brought to the student's grid and kept (`teachers/cache/`); it cannot answer for a patch
of the student's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from segdistill.data.geometry import Geometry


@dataclass(frozen=True)
class CaseImage:
    """One case as its files have it, with the channels that a teacher sees.

    Attributes:
        id: name of the case.
        image: (C, *original) float32, in the axis order of the file (nibabel's x, y, z; rows and columns of a
            photograph), values as stored (HU, SUV, ...), channels in the teacher's order.
        geometry: shape and affine of that array.
    """

    id: str
    image: np.ndarray
    geometry: Geometry


@dataclass(frozen=True)
class Asking:
    """How a teacher goes over a whole image.

    Attributes:
        device: where the network runs.
        overlap: share of a window that the next one covers again, in [0, 1).
        mirror: average the logits over flips along the axes that the teacher allows; stage maps are those of the
            image as it is.
        window_batch: windows in one forward pass.
    """

    device: torch.device | str = "cpu"
    overlap: float = 0.5
    mirror: bool = False
    window_batch: int = 2


@dataclass(frozen=True)
class Answer:
    """What a teacher says about one case, on its own grid.

    Attributes:
        maps: by stage (C, *space) float32 on the CPU; `logits` always, at stride 1. Space is that of the teacher's
            grid, divided by the stride and rounded up.
        strides: voxels of the teacher's grid that one voxel of a stage covers, along each axis.
        to_original: (d + 1, d + 1), homogeneous: the index of a voxel of the teacher's grid -> its place in the array
            of the file, in voxels (fractions are fine).
    """

    maps: Mapping[str, Tensor]
    strides: Mapping[str, tuple[int, ...]]
    to_original: np.ndarray


@runtime_checkable
class Source(Protocol):
    """A trained teacher from anywhere, opened.

    Attributes:
        channels: names of the image channels that it sees, in its order; None: all of the student's data, in theirs.
        classes: its foreground classes in the order of its output channels (channel 0 is the background), or its
            overlapping regions (channel 0 is the first of them); None: those of the student's data.
        regions: its output channels are overlapping regions (sigmoid).
        network: where it is a module: its stages can be named. None: response only.
        trained_on: cases that it has learnt from, where that is known.
        score: its Dice on its own validation cases, 0 to 1, where it is known.
        window: voxels of the windows in which it sees its images; None: it has none.
    """

    @property
    def channels(self) -> tuple[str, ...] | None: ...
    @property
    def classes(self) -> tuple[str, ...] | None: ...
    @property
    def regions(self) -> bool: ...
    @property
    def network(self) -> nn.Module | None: ...
    @property
    def trained_on(self) -> tuple[str, ...]: ...
    @property
    def score(self) -> float | None: ...
    @property
    def window(self) -> tuple[int, ...] | None: ...

    def identity(self) -> str:
        """Hexadecimal digits of all that decides its answers: weights, preprocessing, windows."""
        ...

    def answer(self, case: CaseImage, stages: Sequence[str], asking: Asking) -> Answer:
        """What it says about one case.

        Args:
            stages: names of its stages to tell beside the logits.

        Raises:
            SegdistillError: it cannot answer for this image; the case and the reason are named.
        """
        ...
