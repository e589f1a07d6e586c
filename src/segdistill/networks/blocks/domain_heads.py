"""The auxiliary heads of MDViT: light decoders, one for each domain, each with logits of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, cat, nn
from torch.nn.functional import interpolate

from segdistill.networks.blocks import BATCH_NORM, CONVOLUTION, DROPOUT, LINEAR_MODE


class AuxiliaryHeads(nn.ModuleList):
    """One head for each domain; an image's logits are the heads' sum, weighed by its domain vector."""

    def forward(self, maps: Sequence[Tensor], domain: Tensor) -> Tensor:
        logits = torch.stack([head(maps) for head in self[: domain.shape[1]]], dim=1)
        return (logits * domain.reshape(*domain.shape, *[1] * (logits.ndim - 2))).sum(1)


class AuxiliaryHead(nn.Module):
    """Logits from the encoder's maps, each projected and upsampled to 1/4, with the decoder's last map as it is."""

    def __init__(self, spatial_dims: int, widths: Sequence[int], hidden: int, out_channels: int) -> None:
        super().__init__()
        convolution = CONVOLUTION[spatial_dims]
        self.mode = LINEAR_MODE[spatial_dims]
        self.projections = nn.ModuleList(convolution(width, hidden, 1) for width in widths)
        self.fuse = nn.Sequential(
            convolution(len(widths) * hidden + widths[0], hidden, 1),
            BATCH_NORM[spatial_dims](hidden),
            nn.ReLU(),
            DROPOUT[spatial_dims](0.1),
        )
        self.up = Up(spatial_dims, 4)
        self.out = convolution(hidden, out_channels, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        *encoded, decoded = maps
        parts = [
            interpolate(projection(x), size=decoded.shape[2:], mode=self.mode, align_corners=False)
            for projection, x in zip(self.projections, encoded, strict=True)
        ]
        return self.out(self.up(self.fuse(cat([*parts, decoded], dim=1))))


class Up(nn.Module):
    """Linear upsampling; no `nn.Upsample`, whose operations are not in the published counts."""

    def __init__(self, spatial_dims: int, scale: int) -> None:
        super().__init__()
        self.mode, self.scale = LINEAR_MODE[spatial_dims], scale

    def forward(self, x: Tensor) -> Tensor:
        return interpolate(x, scale_factor=self.scale, mode=self.mode, align_corners=False)
