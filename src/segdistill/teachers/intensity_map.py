"""From the student's intensities to a teacher's, whose training cases had other statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segdistill.data.intensity import CT, PET, RGB
from segdistill.data.plan import Channel


@dataclass(frozen=True)
class IntensityMap:
    """value * scale + shift, kept within [low, high], channel by channel.

    Exact where the teacher clips no wider than the student: what the student's clipping took away (CT: below the 0.5th
    and above the 99.5th percentile of the foreground) does not come back.

    Attributes:
        scale, shift, low, high: a number for each channel.
    """

    scale: tuple[float, ...]
    shift: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def between(cls, ours: Sequence[Channel], theirs: Sequence[Channel]) -> IntensityMap | None:
        """The map between channels with the same intensity parts; None where they agree already."""
        rows = [_of_channel(own, other) for own, other in zip(ours, theirs, strict=True)]
        if all(row == (1.0, 0.0, -math.inf, math.inf) for row in rows):
            return None
        scale, shift, low, high = zip(*rows, strict=True)
        return cls(scale, shift, low, high)

    def __call__(self, image: Tensor) -> Tensor:
        """(batch, channel, *space) as the student sees it -> the same as the teacher does."""
        scale, shift, low, high = (
            torch.tensor(row, dtype=image.dtype, device=image.device).reshape(1, -1, *[1] * (image.ndim - 2))
            for row in (self.scale, self.shift, self.low, self.high)
        )
        return torch.minimum(torch.maximum(image * scale + shift, low), high)


def _of_channel(own: Channel, other: Channel) -> tuple[float, float, float, float]:
    """(scale, shift, low, high) of one channel, in the teacher's unit."""
    a, b = own.statistics, other.statistics
    if a == b:
        return 1.0, 0.0, -math.inf, math.inf
    if isinstance(own.intensity, CT | PET):
        deviation = max(b["std"], 1e-8)
        low, high = (b.get(end, infinite) for end, infinite in (("low", -math.inf), ("high", math.inf)))
        if isinstance(own.intensity, PET):
            low = 0.0
        ends = (low - b["mean"]) / deviation, (high - b["mean"]) / deviation
        return max(a["std"], 1e-8) / deviation, (a["mean"] - b["mean"]) / deviation, *ends
    if isinstance(own.intensity, RGB):
        return a["white"] / b["white"], 0.0, 0.0, 1.0
    raise ValueError(
        f"channel {own.name}: its intensity has statistics that cannot be brought to the teacher's"
    )
