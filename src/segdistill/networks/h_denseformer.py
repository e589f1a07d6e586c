"""H-DenseFormer, Teach-Former's first teacher and first light student."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import Tensor, cat, nn

from segdistill.networks.blocks import (
    CONVOLUTION,
    INSTANCE_NORM,
    LINEAR_MODE,
    MAX_POOL,
    TRANSPOSED,
    Add,
    conv_norm_activation,
)
from segdistill.networks.blocks.dense_transformer import PATCH, ParallelBranches
from segdistill.networks.sizes import check_channels, check_image, check_size
from segdistill.networks.stages import Stage


class HDenseFormer(nn.Module):
    """H-DenseFormer (Shi et al., MICCAI 2023): a Transformer branch a modality, fused into every CNN level.

    Each input channel has its own branch of densely connected Transformer blocks on 16-wide patches. The
    branches' maps, concatenated, are brought to 1/8, 1/4, 1/2 and full size, and added to the output of each
    of the four CNN encoder levels; the sums feed the next level and the skips. The decoder is a U-Net's.

    `filters` f: CNN widths f, 2f, 4f, 8f and branch width 4f (32 in the paper; 8 in Teach-Former's light
    student). `depth`: Transformer layers, four to a block, so 24 is six blocks. `dropout` acts in the
    Transformer branches only. Output convolutions sit at 1/1, 1/2, 1/4 and 1/8; with `deep_supervision`
    training mode returns all four (the paper weighs them 2^-i), otherwise the full-resolution one alone and
    the others get no gradient.

    The position embedding fixes the image size at construction: `image_size`, every axis divisible by 16.

    Stages: `encoder/1`, `/2`, `/4`, `/8` after the fusion is added (`encoder/8` is the bottleneck),
    `encoder/16` the concatenated branches, `decoder/4`, `/2`, `/1`, `logits`, `logits/2`, `/4`, `/8`.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        image_size: Sequence[int],
        *,
        filters: Annotated[int, Field(ge=1)] = 32,
        depth: Annotated[int, Field(ge=4, multiple_of=4)] = 24,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        deep_supervision: bool = True,
    ) -> None:
        super().__init__()
        check_channels("h_denseformer", spatial_dims, in_channels, out_channels)
        if depth % 4 or depth < 4:
            raise ValueError(
                f"h_denseformer: depth counts layers in blocks of four: 4, 8, .. 24; got {depth}"
            )
        check_size(image_size, "h_denseformer", PATCH, spatial_dims)
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.image_size = tuple(image_size)
        self.divisible_by = PATCH
        self.deep_supervision = deep_supervision
        f = filters

        def up_unit(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(
                CONVOLUTION[spatial_dims](inputs, outputs, 3, padding=1),
                INSTANCE_NORM[spatial_dims](outputs),
                nn.ReLU(inplace=True),
                Upsample(LINEAR_MODE[spatial_dims]),
            )

        def level(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(
                conv_norm_activation(spatial_dims, inputs, outputs, nn.ReLU(inplace=True)),
                conv_norm_activation(spatial_dims, outputs, outputs, nn.ReLU(inplace=True)),
            )

        self.branches = ParallelBranches(
            spatial_dims, in_channels, self.image_size, 4 * f, depth // 4, dropout
        )
        widths = [f, 2 * f, 4 * f, 8 * f]
        # From the branches upwards: to 8f at 1/8, 4f at 1/4, 2f at 1/2, f at full size.
        fused = [4 * f * in_channels, *reversed(widths)]
        self.fusion = nn.ModuleList(up_unit(a, b) for a, b in pairwise(fused))
        self.encoder = nn.ModuleList(
            level(a, b) for a, b in zip([in_channels, *widths[:-1]], widths, strict=True)
        )
        self.pool = MAX_POOL[spatial_dims](2)
        self.add = nn.ModuleList(Add() for _ in widths)
        pairs = list(zip(widths[1:], widths[:-1], strict=True))[::-1]
        self.up = nn.ModuleList(
            TRANSPOSED[spatial_dims](deep, wide, 3, stride=2, padding=1, output_padding=1)
            for deep, wide in pairs
        )
        self.decoder = nn.ModuleList(level(2 * wide, wide) for _, wide in pairs)
        self.heads = nn.ModuleList(CONVOLUTION[spatial_dims](width, out_channels, 1) for width in widths)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """(B, in_channels, *image_size) -> (B, out_channels, *image_size); in training, if asked, four."""
        check_image(
            image,
            "h_denseformer",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
            fixed=self.image_size,
        )
        fused = [self.branches(image)]
        for unit in self.fusion:
            fused.append(unit(fused[-1]))
        x = image
        skips: list[Tensor] = []
        for level, add, transformer in zip(self.encoder, self.add, fused[:0:-1], strict=True):
            x = add(level(self.pool(x) if skips else x), transformer)
            skips.append(x)
        maps = [x]
        for up, level, skip in zip(self.up, self.decoder, skips[-2::-1], strict=True):
            x = level(cat([up(x), skip], dim=1))
            maps.append(x)
        # All heads run always: they cost next to nothing, are stages, and are in the published counts.
        logits = [head(x) for head, x in zip(self.heads, reversed(maps), strict=True)]
        return logits if self.deep_supervision and self.training else logits[0]

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, None), in forward order."""
        table: dict[str, Stage] = {"encoder/16": (self.branches, None)}
        table.update({f"encoder/{2**i}": (add, None) for i, add in enumerate(self.add)})
        table.update({f"decoder/{4 >> i}": (level, None) for i, level in enumerate(self.decoder)})
        table.update({f"logits/{2**i}" if i else "logits": (head, None) for i, head in enumerate(self.heads)})
        return table


class Upsample(nn.Module):
    """Linear upsampling by two."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.interpolate(x, scale_factor=2, mode=self.mode, align_corners=False)
