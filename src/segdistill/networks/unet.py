"""A plain U-Net of any width and depth."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import Tensor, cat, nn

from segdistill.networks.blocks import CONVOLUTION, DROPOUT, TRANSPOSED, conv_norm_activation
from segdistill.networks.sizes import check_channels, check_image
from segdistill.networks.stages import Stage


class UNet(nn.Module):
    """U-Net (Ronneberger et al., 2015; Cicek et al., 2016) with the habits of nnU-Net (Isensee et al., 2021).

    Level i works at 1/2^i with `channels[i]` channels: `convolutions` times [convolution 3 (no bias),
    instance norm (affine), leaky ReLU 0.01]; going down is a stride-2 convolution, going up a transposed
    convolution 2 followed by the concatenated skip. Sizes: every axis divisible by 2^(len(channels) - 1).

    `dropout` drops whole channels after each level of the encoder. `deep_supervision` adds an output
    convolution to every decoder level; in training mode the network then returns a list of logits, full
    resolution first.

    Stages: `encoder/1` .. `encoder/<deepest>`, `decoder/<..>` .. `decoder/1`, `logits`, `logits/2`, ...
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=2, max_length=8)] = (
            16,
            32,
            64,
            128,
        ),
        convolutions: Annotated[int, Field(ge=1, le=8)] = 2,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        check_channels("unet", spatial_dims, in_channels, out_channels)
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.deep_supervision = deep_supervision
        self.divisible_by = 2 ** (len(channels) - 1)

        def level(inputs: int, outputs: int, stride: int) -> nn.Sequential:
            widths = [inputs] + [outputs] * convolutions
            return nn.Sequential(
                *(
                    conv_norm_activation(
                        spatial_dims, a, b, nn.LeakyReLU(0.01, inplace=True), stride=stride if i == 0 else 1
                    )
                    for i, (a, b) in enumerate(pairwise(widths))
                )
            )

        inputs = [in_channels, *channels[:-1]]
        self.encoder = nn.ModuleList(
            level(a, b, 1 if i == 0 else 2) for i, (a, b) in enumerate(zip(inputs, channels, strict=True))
        )
        self.dropout = DROPOUT[spatial_dims](dropout) if dropout else nn.Identity()
        pairs = list(zip(channels[1:], channels[:-1], strict=True))[::-1]  # from the bottleneck upwards
        self.up = nn.ModuleList(TRANSPOSED[spatial_dims](deep, wide, 2, stride=2) for deep, wide in pairs)
        self.decoder = nn.ModuleList(level(2 * wide, wide, 1) for _, wide in pairs)
        headed = [wide for _, wide in pairs][::-1]  # index 0 is full resolution
        self.heads = nn.ModuleList(
            CONVOLUTION[spatial_dims](wide, out_channels, 1)
            for wide in (headed if deep_supervision else headed[:1])
        )

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """(B, in_channels, *S) -> (B, out_channels, *S); with deep supervision a list in training."""
        check_image(
            image,
            "unet",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
        )
        skips: list[Tensor] = []
        x = image
        for level in self.encoder:
            x = level(self.dropout(x) if skips else x)
            skips.append(x)
        maps = []
        for up, level, skip in zip(self.up, self.decoder, skips[-2::-1], strict=True):
            x = level(cat([up(x), skip], dim=1))
            maps.append(x)
        logits = [head(x) for head, x in zip(self.heads, reversed(maps), strict=False)]
        return logits if self.deep_supervision and self.training else logits[0]

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, None)."""
        depth = len(self.encoder)
        table: dict[str, Stage] = {f"encoder/{2**i}": (level, None) for i, level in enumerate(self.encoder)}
        table.update(
            {f"decoder/{2 ** (depth - 2 - i)}": (level, None) for i, level in enumerate(self.decoder)}
        )
        table.update({f"logits/{2**i}" if i else "logits": (head, None) for i, head in enumerate(self.heads)})
        return table
