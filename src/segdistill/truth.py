"""What is known of a batch: its label at any size, and where distillation acts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from segdistill.align import resize
from segdistill.data.patches import UNLABELLED
from segdistill.losses.segmentation import IGNORE, one_hot


class Truth:
    """The label of a batch.

    Args:
        label: (batch, layer, *space) of integers, IGNORE where nothing is to be learned, UNLABELLED in images without
            a label: supervision leaves these out, distillation acts on all of them.
        classes: channels of the logits.
        regions: the layers are overlapping regions, 0 or 1.
        inside: (batch, 1, *space), whether a voxel lies in the image: outside of it nothing was recorded of the
            teachers, so distillation does not act there. None: all do.
    """

    def __init__(self, label: Tensor, classes: int, regions: bool, inside: Tensor | None = None) -> None:
        self._given, self._inside = label, None if inside is None or bool(inside.all()) else inside
        self.label = label.masked_fill(label == UNLABELLED, IGNORE)
        self.regions = regions
        self.unlabelled = (label == UNLABELLED).flatten(1).all(1)
        acts = label[:, :1] != IGNORE
        acts = acts if self._inside is None else acts & self._inside
        self._acts = None if bool(acts.all()) else acts.float()
        self.classes = classes
        self._planes: dict[tuple[int, ...], Tensor] = {}

    def at(self, size: Sequence[int]) -> Tensor:
        """(batch, layer, *size) of integers: the nearest voxel."""
        if self.label.shape[2:] == tuple(size):
            return self.label
        resized = F.interpolate(self.label.float(), tuple(size), mode="nearest-exact")
        return resized.to(self.label.dtype)

    def planes(self, size: Sequence[int]) -> Tensor:
        """(batch, class, *size) of 0 and 1, one plane for each class, or region; 0 where nothing is labelled."""
        key = tuple(size)
        if key not in self._planes:
            self._planes[key] = one_hot(self.at(size), self.classes, self.regions)[0]
        return self._planes[key]

    def where(self, size: Sequence[int]) -> Tensor | None:
        """(batch, 1, *size), 0 where nothing is to be learned; None where all counts."""
        return None if self._acts is None else resize(self._acts, size)

    def labelled(self, size: Sequence[int]) -> Tensor:
        """(batch, 1, *size), 0 where the label says nothing, or nothing was recorded."""
        labelled = (self.at(size)[:, :1] != IGNORE).float()
        if self._inside is None:
            return labelled
        return labelled * F.interpolate(self._inside.float(), tuple(size), mode="nearest-exact")

    def of(self, samples: Tensor) -> Truth:
        """The same for some samples of the batch, by their numbers."""
        inside = None if self._inside is None else self._inside[samples]
        return Truth(self._given[samples], self.classes, self.regions, inside)


def absent(planes: Tensor, labelled: Tensor) -> Tensor:
    """For each class the number of samples, of those that are labelled, that have no voxel of it.

    Args:
        planes: (batch, class, *space).
        labelled: (batch,), whether a sample has any label; planes of regions cannot tell.
    """
    there = planes.flatten(2).sum(2) > 0
    return (~there & labelled[:, None]).sum(0).to(torch.float32)
