"""MISSFormer: a hierarchical Transformer U-Net whose skips are bridged across scales."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, cat, nn

from segdistill.networks.blocks import CONVOLUTION
from segdistill.networks.blocks.context_bridge import ContextBridge
from segdistill.networks.blocks.efficient_transformer import Block
from segdistill.networks.blocks.patch_expand import PatchExpand, channels_first, channels_last
from segdistill.networks.sizes import check_channels, check_image
from segdistill.networks.stages import Stage

Positive = Annotated[int, Field(ge=1)]
Four = tuple[Positive, Positive, Positive, Positive]
REDUCTIONS = (8, 4, 2, 1)  # keys and values are at 1/32 in every scale


class MISSFormer(nn.Module):
    """MISSFormer (Huang et al., 2021; IEEE TMI 2023); the paper has 2-D, 3-D is the same with 3-D operations.

    Encoder: four scales (1/4 .. 1/32) of [overlapping patch embedding (convolution 7 with stride 4, then 3 with stride
    2; layer norm), `depths` Transformer blocks, layer norm] with `dims` channels. A block is efficient self-attention
    (keys and values shrunk to 1/32 by a convolution) and the Enhanced Mix-FFN. The Enhanced Transformer Context Bridge:
    `bridge_depth` layers of one attention over the tokens of all four scales, cut to `dims[0]` channels, and a Mix-FFN
    for each scale. Decoder: three times [patch expanding by 2, concatenated skip, linear layer, two blocks], patch
    expanding by 4, 1-wide convolution.

    Each of `dims` must be divisible by the first and by its own of `heads`, and all but the first even. Sizes: every
    axis divisible by 32, more than one voxel left; none is fixed. The defaults are the authors': 42,462,537 parameters
    for three channels and nine classes in 2-D (a single channel they repeat to three; here the first convolution is
    built for the channels given), 8.00e9 multiply-adds at 224 x 224. Of these parameters 7,009,792 are made by their
    code and never run: two layer norms in every Mix-FFN, and a linear layer with two blocks at 1/32 in the decoder.
    They are kept under the names `*unused.*`, get no gradient, and are left out with `unused_layers: false`.

    Stages: `encoder/4/stage` .. `encoder/32/stage` the encoder's normalised maps; `encoder/4` .. `encoder/32` the
    bridged maps, which feed the decoder; `decoder/16`, `decoder/8`, `decoder/4` after the blocks, `decoder/1` after the
    patch expanding by 4; `logits`.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        dims: Four = (64, 128, 320, 512),
        depths: Four = (2, 2, 2, 2),
        heads: Four = (1, 2, 5, 8),
        bridge_depth: Positive = 4,
        unused_layers: bool = True,
    ) -> None:
        super().__init__()
        check_channels("missformer", spatial_dims, in_channels, out_channels)
        for dim, count in zip(dims, heads, strict=True):
            if dim % dims[0] or dim % count:
                raise ValueError(
                    f"missformer: each of dims {list(dims)} must be divisible by the first ({dims[0]}) and by its own "
                    f"of heads {list(heads)}; {dim} is not divisible by {dims[0] if dim % dims[0] else count}"
                )
        if odd := [dim for dim in dims[1:] if dim % 2]:
            raise ValueError(
                f"missformer: patch expanding halves all of dims but the first; {odd[0]} must be even"
            )
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.divisible_by = 32

        def blocks(level: int, depth: int) -> list[Block]:
            return [
                Block(spatial_dims, dims[level], heads[level], REDUCTIONS[level], unused_layers)
                for _ in range(depth)
            ]

        def encoder(level: int) -> nn.Sequential:
            if level:
                embed = OverlapEmbed(spatial_dims, dims[level - 1], dims[level], kernel=3, stride=2)
            else:
                embed = OverlapEmbed(spatial_dims, in_channels, dims[0], kernel=7, stride=4)
            return nn.Sequential(embed, *blocks(level, depths[level]), nn.LayerNorm(dims[level]))

        def decoder(level: int, inputs: int) -> nn.Sequential:
            return nn.Sequential(nn.Linear(inputs, dims[level]), *blocks(level, 2))

        levels = (2, 1, 0)
        self.encoder = nn.ModuleList(encoder(level) for level in range(4))
        self.bridge = ContextBridge(spatial_dims, dims, REDUCTIONS, bridge_depth, unused_layers)
        self.expand = nn.ModuleList(PatchExpand(spatial_dims, dims[i + 1], dims[i + 1] // 2) for i in levels)
        self.decoder = nn.ModuleList(decoder(i, dims[i + 1] // 2 + dims[i]) for i in levels)
        self.expand_last = PatchExpand(spatial_dims, dims[0], dims[0], factor=4)
        self.out = CONVOLUTION[spatial_dims](dims[0], out_channels, 1)
        self.unused = decoder(3, 2 * dims[3]) if unused_layers else None
        for part in (self.expand, self.decoder, self.expand_last, self.out):
            part.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        """(B, in_channels, *S) -> (B, out_channels, *S)."""
        check_image(
            image,
            "missformer",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
        )
        x = channels_last(image)
        maps = []
        for stage in self.encoder:
            x = stage(x)
            maps.append(x)
        *skips, x = self.bridge(maps)
        for expand, decoder, skip in zip(self.expand, self.decoder, reversed(skips), strict=True):
            x = decoder(cat([expand(x), skip], dim=-1))
        return self.out(channels_first(self.expand_last(x)))

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, reading of its output), in forward order."""

        def bridged(level: int) -> Stage:
            return self.bridge, lambda maps: channels_first(maps[level])

        strides = (4, 8, 16, 32)
        table: dict[str, Stage] = {
            f"encoder/{stride}/stage": (stage, channels_first)
            for stride, stage in zip(strides, self.encoder, strict=True)
        }
        table |= {f"encoder/{stride}": bridged(level) for level, stride in enumerate(strides)}
        for stride, decoder in zip((16, 8, 4), self.decoder, strict=True):
            table[f"decoder/{stride}"] = (decoder, channels_first)
        return table | {"decoder/1": (self.expand_last, channels_first), "logits": (self.out, None)}


class OverlapEmbed(nn.Module):
    """(B, *S, inputs) -> (B, *S / stride, outputs): a convolution wider than its stride, layer norm."""

    def __init__(self, spatial_dims: int, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.convolution = CONVOLUTION[spatial_dims](
            inputs, outputs, kernel, stride=stride, padding=kernel // 2
        )
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(channels_last(self.convolution(channels_first(x))))


def _initialise(module: nn.Module) -> None:
    """The authors' decoder: Xavier weights, no bias; all else as torch has it."""
    if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
