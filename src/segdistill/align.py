"""Bring two maps to one size, and several into one map; widths are the projectors' task.

The teacher's map is resized to the student's, by area where it shrinks and linearly where it grows. A list of stages is
resized to its smallest map and joined along the channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def resize(feature: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (batch, channel, *space) to the spatial `size`: by area where no axis grows, else linearly."""
    size = tuple(size)
    if feature.shape[2:] == size:
        return feature
    feature = feature.float() if feature.dtype == torch.float16 else feature  # as maps are recorded
    if all(new <= old for new, old in zip(size, feature.shape[2:], strict=True)):
        return F.interpolate(feature, size, mode="area")
    return F.interpolate(feature, size, mode=LINEAR[len(size)], align_corners=False)


def fuse(maps: Sequence[Tensor]) -> Tensor:
    """Resize all maps to the smallest of them and join their channels (HLFD's unified representation)."""
    smallest = min(maps, key=lambda m: m.shape[2:].numel()).shape[2:]
    return torch.cat([resize(m, smallest) for m in maps], dim=1)
