"""3D UX-Net: large depthwise convolutions in the place of Swin attention."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import torch
from monai.networks.blocks import UnetOutBlock, UnetrBasicBlock, UnetrUpBlock
from pydantic import Field
from torch import Tensor, nn

from segdistill.networks.blocks import CONVOLUTION
from segdistill.networks.sizes import check_channels, check_image
from segdistill.networks.stages import Stage

Width = Annotated[int, Field(ge=1)]
Four = tuple[Width, Width, Width, Width]


class UXNet(nn.Module):
    """3D UX-Net (Lee et al., ICLR 2023), 2-D as well; the output convolution follows the first width, not 48.

    Four stages of ConvNeXt-like blocks (depthwise convolution 7, norm, two pointwise convolutions *grouped by
    channel*, layer scale) at 1/2, 1/4, 1/8 and 1/16 with `feature_sizes` channels; a residual block on each,
    the last to `hidden_size`; UNETR's decoder. Defaults are the paper's; Teach-Former's light student is (6,
    12, 24, 48) and 384 in 3-D, (24, 48, 96, 192) and 384 in 2-D. Sizes: every axis divisible by 16.

    Stages: `encoder/1` .. `encoder/16` the residual blocks; `encoder/2/stage` .. `encoder/16/stage` the
    backbone's normalised maps under them; `decoder/8` .. `decoder/2`, `decoder/1/up`, `decoder/1`; `logits`.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        feature_sizes: Four = (48, 96, 192, 384),
        hidden_size: Width = 768,
        depths: Four = (2, 2, 2, 2),
    ) -> None:
        super().__init__()
        check_channels("ux_net", spatial_dims, in_channels, out_channels)
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.divisible_by = 16
        first, second, third, fourth = feature_sizes

        def block(inputs: int, outputs: int) -> UnetrBasicBlock:
            return UnetrBasicBlock(
                spatial_dims, inputs, outputs, kernel_size=3, stride=1, norm_name="instance", res_block=True
            )

        def up(inputs: int, outputs: int) -> UnetrUpBlock:
            return UnetrUpBlock(
                spatial_dims,
                inputs,
                outputs,
                kernel_size=3,
                upsample_kernel_size=2,
                norm_name="instance",
                res_block=True,
            )

        convolution = CONVOLUTION[spatial_dims]
        stem = convolution(in_channels, first, 7, stride=2, padding=3)
        self.down = nn.ModuleList([nn.Sequential(stem, ChannelNorm(first, spatial_dims))])
        for a, b in pairwise(feature_sizes):
            self.down.append(nn.Sequential(ChannelNorm(a, spatial_dims), convolution(a, b, 2, stride=2)))
        self.blocks = nn.ModuleList(
            nn.Sequential(*(Block(spatial_dims, width) for _ in range(depth)))
            for width, depth in zip(feature_sizes, depths, strict=True)
        )
        self.norms = nn.ModuleList(ChannelNorm(width, spatial_dims) for width in feature_sizes)
        widths = [in_channels, *feature_sizes, hidden_size]
        self.encoder = nn.ModuleList(
            block(a, b) for a, b in zip(widths[:-1], [first, second, third, fourth, hidden_size], strict=True)
        )
        self.decoder = nn.ModuleList(
            up(a, b) for a, b in [(hidden_size, fourth), (fourth, third), (third, second), (second, first)]
        )
        self.last = block(first, first)
        self.out = UnetOutBlock(spatial_dims, first, out_channels)

    def forward(self, image: Tensor) -> Tensor:
        """(B, in_channels, *S) -> (B, out_channels, *S)."""
        check_image(
            image,
            "ux_net",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
        )
        maps = [self.encoder[0](image)]
        x = image
        for down, blocks, norm, encoder in zip(
            self.down, self.blocks, self.norms, list(self.encoder)[1:], strict=True
        ):
            x = blocks(down(x))
            maps.append(encoder(norm(x)))
        x = maps.pop()
        for decoder in self.decoder:
            x = decoder(x, maps.pop())
        return self.out(self.last(x))

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, None), in forward order."""
        table: dict[str, Stage] = {
            f"encoder/{2 << i}/stage": (norm, None) for i, norm in enumerate(self.norms)
        }
        table |= {f"encoder/{2**i}": (encoder, None) for i, encoder in enumerate(self.encoder)}
        names = ["decoder/8", "decoder/4", "decoder/2", "decoder/1/up"]
        table |= {name: (decoder, None) for name, decoder in zip(names, self.decoder, strict=True)}
        return table | {"decoder/1": (self.last, None), "logits": (self.out, None)}


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each voxel of a (B, C, *S) map."""

    def __init__(self, channels: int, spatial_dims: int) -> None:
        super().__init__()
        shape = (channels, *[1] * spatial_dims)
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        variance = centred.square().mean(1, keepdim=True)
        return centred * torch.rsqrt(variance + 1e-6) * self.weight + self.bias


class Block(nn.Module):
    """x + scale * reduce(GELU(expand(norm(depthwise(x))))); both 1-wide, grouped by channel."""

    def __init__(self, spatial_dims: int, width: int) -> None:
        super().__init__()
        convolution = CONVOLUTION[spatial_dims]
        self.depthwise = convolution(width, width, 7, padding=3, groups=width)
        self.norm = ChannelNorm(width, spatial_dims)
        self.expand = convolution(width, 4 * width, 1, groups=width)
        self.activation = nn.GELU()
        self.reduce = convolution(4 * width, width, 1, groups=width)
        self.scale = nn.Parameter(torch.full((width, *[1] * spatial_dims), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.reduce(self.activation(self.expand(self.norm(self.depthwise(x)))))
