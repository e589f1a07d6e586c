"""RSKD's transfer of texture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.feature.attention_transfer import attention
from segdistill.losses.reduction import at_least_float32, check_pair, masked
from segdistill.losses.unit import unit

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
FAINT = 0.01  # a band below this share of its map is rounding noise more than texture, and stays short


@dataclass(frozen=True)
class Texture:
    """Sum over voxels of (d(student) - d(teacher))^2, averaged over bands, then over the batch.

    The bands d are those of a Laplacian pyramid (Burt and Adelson, 1983) of the attention map mean_c |F|^2: the map
    less its version averaged over windows of 2 and drawn up again linearly; then the same of the averaged map. Axes
    of length 1 stay, an odd side is halved upwards, and the pyramid ends where nothing is left to halve: a map of
    one voxel has no bands and the value 0. What remains after the last band is no texture and does not count. Each
    band has unit L2 length, or less where it is below a hundredth of its map. Lies in [0, 4]. Averages are taken
    over the voxels in `where` alone, so that its edge is no texture.

    Inspired by the contourlet decomposition of RSKD (Liang et al., 2024), whose formulas are not open: a contourlet
    transform is a Laplacian pyramid with directional filters, here differences along the axes. Any two widths
    compare without a projector.

    Not patch-invariant: at the edge of a patch the drawn-up map has no neighbours.

    Args:
        levels: the most bands.
        directional: split each band into its differences along every axis longer than 1, each of unit length.
    """

    needs_equal_width: ClassVar[bool] = False

    levels: Annotated[int, Field(ge=1)] = 3
    directional: bool = False

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel_t *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher, any_width=True)
        own, other = (
            self._bands(at_least_float32(student), where),
            self._bands(at_least_float32(teacher), where),
        )
        total = at_least_float32(student).new_zeros(())
        for left, right in zip(own, other, strict=True):
            total = total + (left - right).square().sum(1).mean()
        return total / max(len(own), 1)

    def _bands(self, feature: Tensor, where: Tensor | None) -> list[Tensor]:
        """Each (batch, voxel)."""
        counted = None if where is None else (where > 0).to(where.dtype)
        level = attention(masked(feature, counted), 2.0).reshape(len(feature), 1, *feature.shape[2:])
        weight = torch.ones_like(level) if where is None else where.to(level.dtype)
        bands: list[Tensor] = []
        for _ in range(self.levels):
            if level[0].numel() == 1:
                break
            level = unit(level.flatten(1), 1).reshape(level.shape)
            low, low_weight = _halved(level, weight)
            band = (level - _drawn_up(low, low_weight, level.shape[2:])) * weight.sqrt()
            parts = [band]
            if self.directional:
                parts = [band.diff(dim=axis) for axis in range(2, band.ndim) if band.shape[axis] > 1]
            bands += [F.normalize(part.flatten(1), dim=1, eps=FAINT) for part in parts]
            level, weight = low, low_weight
        return bands


def _halved(level: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The weighted averages over windows of 2 (3 that overlap, inside an odd side), and their weights."""
    size = [(side + 1) // 2 for side in level.shape[2:]]
    low_weight = F.interpolate(weight, size, mode="area")
    return _divided(F.interpolate(level * weight, size, mode="area"), low_weight), low_weight


def _drawn_up(low: Tensor, weight: Tensor, size: torch.Size) -> Tensor:
    """`low` at `size`, linearly between those of its values that have weight."""
    mode = LINEAR[len(size)]
    values = F.interpolate(low * weight, size, mode=mode, align_corners=False)
    return _divided(values, F.interpolate(weight, size, mode=mode, align_corners=False))


def _divided(values: Tensor, weight: Tensor) -> Tensor:
    return values / torch.where(weight > 0, weight, 1.0)
