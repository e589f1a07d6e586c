"""RA-UNet: a residual U-Net with an attention residual module on each skip."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import Tensor, cat, nn

from segdistill.networks.blocks import BATCH_NORM, CONVOLUTION, MAX_POOL
from segdistill.networks.sizes import check_channels, check_image
from segdistill.networks.stages import Stage

WIDTHS = (1, 1, 2, 4, 8, 16)  # channels of the six levels, in `filters`
TRUNK_BLOCKS = 2


class RAUNet(nn.Module):
    """RA-UNet (Jin et al., Front. Bioeng. Biotechnol. 2020): RA-UNet-II in 3-D, RA-UNet-I in 2-D.

    Six levels with `filters` * (1, 1, 2, 4, 8, 16) channels, max-pool 2 between: [convolution 3, batch norm, ReLU] at
    full size, one pre-activation bottleneck block at 1/2 to 1/16, two at 1/32. Going up: nearest upsampling by 2, the
    skip concatenated, one block; at full size [convolution 3, batch norm, ReLU] and the 3-wide output convolution. The
    skips from 1/16 to 1/2 pass an attention residual module, (1 + S(x)) T(x) with a trunk T of two blocks and an
    hourglass S of 1, 2, 3 and 4 levels, which always reaches down to 1/32; one block before and one after it. The
    full-size skip has none.

    The formula and the division of labour are the paper's; the numbers of blocks (p = 1, t = 2, r = 1), widths and
    layers follow the authors' code: a block has a quarter of its outputs inside, a bias in each convolution, and always
    a 1-wide convolution on its shortcut (the paper's equation is a plain sum, which would be 3,548,017 parameters).
    Our reading: logits of `out_channels` classes in the place of one sigmoid map. `filters` must be a multiple of 4: 32
    is RA-UNet-II, 4,420,849 parameters for one channel and one output in 3-D; 16 is RA-UNet-I, 737,897 in 2-D. Sizes:
    every axis divisible by 32, more than one voxel left.

    Stages: `encoder/1` .. `encoder/32`; at 1/16 to 1/2 `decoder/<s>/attention`, the module's output, and
    `decoder/<s>`, the block after the concatenation; `decoder/1`; `logits`.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        filters: Annotated[int, Field(ge=4)] = 32,
    ) -> None:
        super().__init__()
        check_channels("ra_unet", spatial_dims, in_channels, out_channels)
        if filters % 4:
            raise ValueError(
                f"ra_unet: filters ({filters}) must be a multiple of 4, its blocks have a quarter of them inside; "
                f"write filters: {4 * max(1, round(filters / 4))}"
            )
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.divisible_by = 32
        widths = [filters * width for width in WIDTHS]
        deep, skipped = widths[:1:-1], widths[-2:0:-1]  # from the bottom upwards

        def unit(inputs: int) -> nn.Sequential:
            return nn.Sequential(
                CONVOLUTION[spatial_dims](inputs, filters, 3, padding=1),
                BATCH_NORM[spatial_dims](filters),
                nn.ReLU(inplace=True),
            )

        self.encoder = nn.ModuleList([unit(in_channels)])
        self.encoder.extend(ResidualBlock(spatial_dims, a, b) for a, b in pairwise(widths))
        self.bottom = ResidualBlock(spatial_dims, widths[-1], widths[-1])
        self.pool = MAX_POOL[spatial_dims](2)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.attention = nn.ModuleList(
            AttentionModule(spatial_dims, width, levels) for levels, width in enumerate(skipped, start=1)
        )
        self.decoder = nn.ModuleList(
            ResidualBlock(spatial_dims, a + b, b) for a, b in zip(deep, skipped, strict=True)
        )
        self.last = unit(2 * filters)
        self.out = CONVOLUTION[spatial_dims](filters, out_channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, in_channels, *S) -> (B, out_channels, *S)."""
        check_image(
            image,
            "ra_unet",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
        )
        skips = [self.encoder[0](image)]
        for block in self.encoder[1:]:
            skips.append(block(self.pool(skips[-1])))
        x = self.bottom(skips.pop())
        for attention, block in zip(self.attention, self.decoder, strict=True):
            x = block(cat([self.up(x), attention(skips.pop())], dim=1))
        return self.out(self.last(cat([self.up(x), skips.pop()], dim=1)))

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, None), in forward order."""
        levels = [*self.encoder[:-1], self.bottom]
        table: dict[str, Stage] = {f"encoder/{2**i}": (level, None) for i, level in enumerate(levels)}
        for i, (attention, block) in enumerate(zip(self.attention, self.decoder, strict=True)):
            table[f"decoder/{16 >> i}/attention"] = (attention, None)
            table[f"decoder/{16 >> i}"] = (block, None)
        return table | {"decoder/1": (self.last, None), "logits": (self.out, None)}


class ResidualBlock(nn.Module):
    """Three times [batch norm, ReLU, convolution], 1-, 3- and 1-wide, plus a 1-wide convolution of the input."""

    def __init__(self, spatial_dims: int, inputs: int, outputs: int) -> None:
        super().__init__()

        def unit(a: int, b: int, kernel: int) -> nn.Sequential:
            return nn.Sequential(
                BATCH_NORM[spatial_dims](a),
                nn.ReLU(inplace=True),
                CONVOLUTION[spatial_dims](a, b, kernel, padding=kernel // 2),
            )

        inner = outputs // 4
        self.body = nn.Sequential(unit(inputs, inner, 1), unit(inner, inner, 3), unit(inner, outputs, 1))
        self.shortcut = CONVOLUTION[spatial_dims](inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.shortcut(x)


class AttentionModule(nn.Module):
    """last((1 + S(x)) T(x)) of x = first(input): the attention residual module (Wang et al., CVPR 2017)."""

    def __init__(self, spatial_dims: int, width: int, levels: int) -> None:
        super().__init__()
        self.first = ResidualBlock(spatial_dims, width, width)
        self.trunk = nn.Sequential(*(ResidualBlock(spatial_dims, width, width) for _ in range(TRUNK_BLOCKS)))
        self.mask = nn.Sequential(
            Hourglass(spatial_dims, width, levels),
            CONVOLUTION[spatial_dims](width, width, 1),
            CONVOLUTION[spatial_dims](width, width, 1),
            nn.Sigmoid(),
        )
        self.last = ResidualBlock(spatial_dims, width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last((1 + self.mask(x)) * self.trunk(x))


class Hourglass(nn.Module):
    """Max-pool, block, the hourglass of one level fewer plus a block on its skip, block, nearest upsampling."""

    def __init__(self, spatial_dims: int, width: int, levels: int) -> None:
        super().__init__()
        self.pool = MAX_POOL[spatial_dims](2)
        self.down = ResidualBlock(spatial_dims, width, width)
        self.below = Hourglass(spatial_dims, width, levels - 1) if levels > 1 else None
        self.skip = ResidualBlock(spatial_dims, width, width) if levels > 1 else None
        self.up = nn.Sequential(
            ResidualBlock(spatial_dims, width, width), nn.Upsample(scale_factor=2, mode="nearest")
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(self.pool(x))
        if self.below is not None and self.skip is not None:
            x = self.below(x) + self.skip(x)
        return self.up(x)
