"""What a network from a file can take: sizes that were fixed when it was exported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from segdistill.errors import SegdistillError


@dataclass(frozen=True)
class FileInput:
    """The input of an exported network, (batch, channel, *space); None for each size that is free.

    Attributes:
        path: the file, for messages.
        sizes: batch, channels and space.
    """

    path: Path
    sizes: tuple[int | None, ...]

    def __post_init__(self) -> None:
        if len(self.sizes) not in (4, 5):
            raise SegdistillError(
                f"{self.path} takes {describe(self.sizes)}, which is no (batch, channel, rows, columns) nor "
                "(batch, channel, x, y, z); export a network of images"
            )

    @property
    def batch(self) -> int | None:
        """Number of images that it takes at once, where it is fixed."""
        return self.sizes[0]

    @property
    def channels(self) -> int | None:
        """Number of image channels, where it is fixed."""
        return self.sizes[1]

    @property
    def image_size(self) -> tuple[int, ...] | None:
        """The one patch size that it takes; None where any side is free."""
        sides = tuple(side for side in self.sizes[2:] if side is not None)
        return sides if len(sides) == len(self.sizes) - 2 else None

    def check(self, images: Tensor) -> None:
        """Whether it takes these images; the batch may have any size.

        Raises:
            SegdistillError: it does not; both shapes are named.
        """
        if images.ndim != len(self.sizes):
            raise SegdistillError(
                f"{self.path} is a {len(self.sizes) - 2}-D network, it takes {describe(self.sizes)}; "
                f"it was given {images.ndim - 2}-D images of shape {tuple(images.shape)}"
            )
        if self.channels not in (None, images.shape[1]):
            raise SegdistillError(
                f"{self.path} takes images of {self.channels} channel(s), it was given {images.shape[1]}; "
                "name the channels that it sees, or use data that have them"
            )
        if any(fixed not in (None, n) for fixed, n in zip(self.sizes[2:], images.shape[2:], strict=True)):
            raise SegdistillError(
                f"{self.path} was exported for images of {list_of(self.sizes[2:])}, it was given "
                f"{list(images.shape[2:])}; use that patch size, or export it with dynamic axes"
            )

    def in_portions(self, run: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """`run(images)`, in portions of the batch size where that is fixed.

        The last portion is filled up with copies of its last image, whose answers are dropped.
        """
        batch = self.batch
        if batch is None or batch == len(images):
            return run(images)
        answers = []
        for portion in images.split(batch):
            missing = batch - len(portion)
            full = torch.cat([portion, portion[-1:].expand(missing, *portion.shape[1:])])
            answers.append(run(full)[: len(portion)])
        return torch.cat(answers)


def list_of(sizes: tuple[int | None, ...]) -> str:
    """Sizes for a message, `any` where one is free."""
    return f"[{', '.join('any' if size is None else str(size) for size in sizes)}]"


def describe(sizes: tuple[int | None, ...]) -> str:
    """A shape for a message."""
    return f"an input of shape {list_of(sizes)}"
