"""What a network from a file gives, read as logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from segdistill.digests import of_files
from segdistill.errors import SegdistillError
from segdistill.teachers.soft_predictions.probabilities import logits_of_classes, logits_of_regions

Ending = Literal["none", "softmax", "sigmoid"]
"""What a network applies to its logits before it gives them out."""


@dataclass(frozen=True)
class FileAnswer:
    """How the output of a network from a file is read.

    Attributes:
        path: the file, for messages.
        ending: what it has already applied to its logits; that is undone, up to the clip of `probabilities`.
        digest: of the file's contents, and those of the files that it names.
    """

    path: Path
    ending: Ending = "none"
    digest: str = ""

    @classmethod
    def of(cls, path: Path, ending: Ending, others: Mapping[str, Path] | None = None) -> FileAnswer:
        """How the output of a file is read, with the digest of that file and of `others` that belong to it."""
        return cls(path, ending, of_files({"": path, **(others or {})}))

    def describe(self) -> str:
        """What decides the answers beside the weights, for the text of a module (`extra_repr`)."""
        return f"file={self.digest}, ending={self.ending}"

    def logits(self, output: Tensor, images: Tensor) -> Tensor:
        """(batch, K, *space) logits in float32 on the device of the images.

        Args:
            output: what the network gave for `images` (batch, channel, *space).

        Raises:
            SegdistillError: it is no map of the images' size, holds labels, or is the result of a softmax or lies
                outside [0, 1] against what `ending` says.
        """
        if output.ndim != images.ndim or output.shape[2:] != images.shape[2:] or len(output) != len(images):
            raise SegdistillError(
                f"{self.path} gives {tuple(output.shape)} for images of shape {tuple(images.shape)}; a teacher "
                "gives one map of logits for each class, (batch, class, *space), at the size of the images"
            )
        if not output.is_floating_point():
            raise SegdistillError(
                f"{self.path} gives {str(output.dtype).removeprefix('torch.')} values, so labels and no logits; "
                "export it without the last argmax"
            )
        values = output.to(images.device, torch.float32)
        if self.ending == "none":
            if _is_softmax(values):
                raise SegdistillError(
                    f"{self.path} gives probabilities that sum to 1, no logits; write `ending: softmax` beside "
                    "its type, or export it without the last softmax"
                )
            return values
        low, high = _range(values)
        if low < -1e-3 or high > 1 + 1e-3:
            raise SegdistillError(
                f"{self.path} gives values from {low:.3g} to {high:.3g}, which are no probabilities; leave "
                f"`ending: {self.ending}` out"
            )
        return logits_of_classes(values) if self.ending == "softmax" else logits_of_regions(values)


def _is_softmax(values: Tensor) -> bool:
    """Whether these can only be probabilities of exclusive classes."""
    if values.shape[1] < 2 or values.numel() == 0 or _range(values)[0] < 0:
        return False
    return bool((values.detach().sum(dim=1) - 1).abs().max() < 1e-2)


def _range(values: Tensor) -> tuple[float, float]:
    low, high = values.detach().aminmax()
    return float(low), float(high)
