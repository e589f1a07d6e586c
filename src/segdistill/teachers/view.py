"""Another view of the same images: intensities change, places do not, so that maps still compare voxel by voxel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

Strength = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class View:
    """Noise, brightness and contrast, drawn anew for every image and channel from torch's generator.

    Attributes:
        noise: standard deviation of the noise, in standard deviations of the channel.
        brightness: largest shift, in the same unit.
        contrast: largest relative change of the distance from the channel's mean, in [0, 1).
    """

    noise: Strength = 0.1
    brightness: Strength = 0.2
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.25

    def __call__(self, image: Tensor) -> Tensor:
        """(batch, channel, *space) -> the same shape, a copy."""
        axes = tuple(range(2, image.ndim))
        mean = image.mean(axes, keepdim=True)
        deviation = image.std(axes, keepdim=True, correction=0)
        shift, factor = ((torch.rand_like(mean) * 2 - 1) * most for most in (self.brightness, self.contrast))
        changed = mean + (image - mean) * (1 + factor) + shift * deviation
        return changed + torch.randn_like(image) * self.noise * deviation
