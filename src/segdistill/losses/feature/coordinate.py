"""Coordinate distillation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.reduction import at_least_float32, check_pair, masked
from segdistill.losses.unit import unit


@dataclass(frozen=True)
class Coordinate:
    """Sum of (a(student) - a(teacher))^2 over positions, averaged over the spatial axes, then over the batch.

    For each axis longer than 1, a is the mean of |F|^p over all other axes, brought to unit L2 length: where along
    the axis something lies, as coordinate attention pools it (Hou et al., 2021, Eq. 4 and 5). Axes of length 1 are
    skipped; without any other the value is 0. Lies in [0, 2]. Voxels outside `where` count as 0.

    Inspired by Qi et al., 2022, of whom only the abstract is open (status: close): the pooling and the attention
    transfer's distance are our reading of it.

    Args:
        power: p >= 1; below 1 there is no gradient where a feature is 0.
        channels: keep the channels apart, so that a has one value a channel and position; needs equal widths.
            By default they are averaged and any two widths compare.
    """

    power: Annotated[float, Field(ge=1)] = 2.0
    channels: bool = False

    @property
    def needs_equal_width(self) -> bool:
        """Channels that are kept apart are compared one by one."""
        return self.channels

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel_t *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher, any_width=not self.channels)
        own, other = self._activity(student, where), self._activity(teacher, where)
        axes = [axis for axis in range(2, own.ndim) if own.shape[axis] > 1]
        total = own.new_zeros(())
        for axis in axes:
            total = total + (_along(own, axis) - _along(other, axis)).square().sum(1).mean()
        return total / max(len(axes), 1)

    def _activity(self, feature: Tensor, where: Tensor | None) -> Tensor:
        """|F|^p up to a factor a sample, which the unit length takes out again."""
        counted = None if where is None else (where > 0).to(where.dtype)
        size = masked(at_least_float32(feature), counted).abs()
        # The largest value, divided out, keeps |F|^p within the number range.
        peak = size.detach().amax(dim=tuple(range(1, size.ndim)), keepdim=True)
        size = (size / torch.where(peak > 0, peak, 1.0)).pow(self.power)
        return masked(size if self.channels else size.mean(1, keepdim=True), where)


def _along(activity: Tensor, axis: int) -> Tensor:
    """(batch, channel, *space) -> (batch, channel * side): summed over the other axes, of unit L2 length."""
    others = [other for other in range(2, activity.ndim) if other != axis]
    return unit((activity.sum(others) if others else activity).flatten(1), 1)
