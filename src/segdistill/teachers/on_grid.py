"""What a teacher says about a whole case, on the grid of the student's preprocessed images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from segdistill.data.case_files import read_channels
from segdistill.data.dataset import Dataset
from segdistill.data.grid import Grid
from segdistill.data.slices import Slices
from segdistill.data.store import Store
from segdistill.evaluation.sliding_window import Strides, predict_maps
from segdistill.teachers.source import Answer, Asking, CaseImage, Source
from segdistill.teachers.teacher import Group, Teacher

Maps = Mapping[str, Tensor]
BACKGROUND = 10.0
"""Logit of the background where a teacher did not look, against 0 of the classes; of regions minus that."""


@dataclass(frozen=True)
class FromNetwork:
    """Asks a network about the student's own preprocessed images.

    Attributes:
        teacher: with a network.
        store: the preprocessed images.
        window: patch that the network sees.
        strides: of the stages to tell, along the axes of a window.
        asking: how it goes over an image.
        slices: it sees slices of the images.
        change: by stage, how the channels are brought to another width before they are kept.
    """

    teacher: Teacher
    store: Store
    window: tuple[int, ...]
    strides: Strides
    asking: Asking
    slices: Slices | None = None
    change: Mapping[str, Callable[[Tensor], Tensor]] | None = None

    def __call__(self, case: str) -> Maps:
        """By stage (C, *size) float32."""
        image = torch.from_numpy(np.array(self.store.case(case).image, np.float32))
        return predict_maps(
            self.teacher.module.to(self.asking.device), self.teacher.seen(image[None])[0], self.window, self.strides,
            overlap=self.asking.overlap, batch_size=self.asking.window_batch, mirror=self.asking.mirror,
            slices=self.slices, device=self.asking.device, change=self.change,
        )  # fmt: skip


@dataclass(frozen=True)
class FromSource:
    """Asks a source about the files of a case, and brings its answer to the student's grid.

    Attributes:
        channels: names of the image channels that it sees, in its order.
        strides: by stage, voxels of the student's grid that one voxel of the kept map covers; `logits` among them.
    """

    source: Source
    channels: tuple[str, ...]
    dataset: Dataset
    store: Store
    strides: Strides
    asking: Asking
    change: Mapping[str, Callable[[Tensor], Tensor]] | None = None

    def __call__(self, case: str) -> Maps:
        """By stage (C, *size) float32."""
        stages = [name for name in self.strides if name != "logits"]
        answer = self.source.answer(case_image(self.channels, self.dataset, case), stages, self.asking)
        change = self.change or {}
        changed = {
            name: change[name](each[None])[0] if name in change else each
            for name, each in answer.maps.items()
        }
        answer = replace(answer, maps=changed)
        return brought(answer, self.store.case(case).grid, self.strides, self.source.regions)


@dataclass(frozen=True)
class FromGroup:
    """Asks those of a group that teach a case, and averages their logits.

    Attributes:
        asked: what each member says, in the order of the group.
    """

    group: Group
    asked: tuple[Callable[[str], Maps], ...]

    def __call__(self, case: str) -> Maps:
        """`logits` (K, *size) float32."""
        chosen = self.group.of_case(case)
        said = [
            ask(case)["logits"]
            for member, ask in zip(self.group.members, self.asked, strict=True)
            if any(member is one for one in chosen)
        ]
        return {"logits": torch.stack(said).mean(0)}


def case_image(names: Sequence[str], dataset: Dataset, case: str) -> CaseImage:
    """A case as its files have it, with the channels of these names.

    Raises:
        SegdistillError: the files cannot be read, or lack a channel.
    """
    image, geometry = read_channels(dataset.case(case).images, names, among=dataset.channels)
    return CaseImage(case, np.ascontiguousarray(image, np.float32), geometry)


def brought(answer: Answer, grid: Grid, strides: Strides, regions: bool) -> dict[str, Tensor]:
    """An answer on the student's grid: linear interpolation; the border's value where the grid reaches further.

    Where the teacher did not look at all (it crops, or its image ends), its logits say background; its maps go on.

    Args:
        strides: by stage, voxels of the student's grid that one voxel of the result covers.

    Returns:
        By stage (C, *ceil(target / stride)) float32.
    """
    told = {}
    between = np.linalg.inv(answer.to_original) @ grid.to_original
    for name, stride in strides.items():
        coarse = np.linalg.inv(centred(answer.strides[name])) @ between @ centred(stride)
        size = tuple(-(-n // step) for n, step in zip(grid.target, stride, strict=True))
        whole = answer.maps[name].numpy()
        said = sampled(whole, coarse, size)
        if name == "logits":
            outside = ~covered(coarse, size, whole.shape[1:])
            said[:, outside] = -BACKGROUND if regions else 0.0
            if not regions:
                said[0, outside] = BACKGROUND
        told[name] = torch.from_numpy(said)
    return told


def centred(stride: Sequence[int]) -> np.ndarray:
    """Homogeneous: index of a voxel of a coarser map -> its centre, in voxels of the grid that it covers."""
    matrix = np.diag([*map(float, stride), 1.0])
    matrix[:-1, -1] = (np.array(stride) - 1) / 2
    return matrix


def sampled(whole: np.ndarray, matrix: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Linear interpolation of (C, *space) at matrix @ index, for every index of a grid of this size."""
    linear, offset = matrix[:-1, :-1], matrix[:-1, -1]
    out = np.empty((len(whole), *size), np.float32)
    if (
        np.allclose(linear, np.eye(len(linear)))
        and np.allclose(offset, 0, atol=1e-6)
        and whole.shape[1:] == tuple(size)
    ):
        out[...] = whole
        return out
    for channel, into in zip(whole, out, strict=True):
        ndimage.affine_transform(
            channel,
            linear,
            offset,
            output=into,
            output_shape=tuple(size),
            order=1,
            mode="nearest",
            prefilter=False,
        )
    return out


def covered(matrix: np.ndarray, size: Sequence[int], space: Sequence[int]) -> np.ndarray:
    """(*size) bool: whether the centre of a voxel of the new grid lies in a voxel of the old one."""
    inside = np.ones(tuple(size), bool)
    indices = np.ogrid[tuple(slice(n) for n in size)]
    for axis, side in enumerate(space):
        place = sum(m * index for m, index in zip(matrix[axis, :-1], indices, strict=True)) + matrix[axis, -1]
        inside &= (place >= -0.5 - 1e-6) & (place <= side - 0.5 + 1e-6)
    return inside
