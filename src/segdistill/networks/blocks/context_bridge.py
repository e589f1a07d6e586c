"""MISSFormer's Enhanced Transformer Context Bridge: one attention over the maps of all scales.

Maps have their channels last, (B, *S, C). The map of scale i has a multiple k_i of the first map's channels; a voxel of
it is k_i tokens of that width, and so all scales share one sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor, cat, nn

from segdistill.networks.blocks import CONVOLUTION
from segdistill.networks.blocks.efficient_transformer import Attention, EnhancedMixFFN
from segdistill.networks.blocks.patch_expand import channels_first, channels_last


class ContextBridge(nn.Module):
    """`depth` layers over maps of `dims` channels, shrunk by `reductions` for keys and values; same shapes out."""

    def __init__(
        self, spatial_dims: int, dims: Sequence[int], reductions: Sequence[int], depth: int, unused: bool
    ) -> None:
        super().__init__()
        self.width = dims[0]
        self.layers = nn.ModuleList(BridgeLayer(spatial_dims, dims, reductions, unused) for _ in range(depth))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        tokens = join(maps, self.width)
        for layer in self.layers:
            tokens = layer(tokens, [x.shape for x in maps])
        return part(tokens, [x.shape for x in maps])


class BridgeLayer(nn.Module):
    """x += attention(norm(x)) over the tokens of all scales; x += mix_ffn(norm(x)), one FFN for each scale."""

    def __init__(
        self, spatial_dims: int, dims: Sequence[int], reductions: Sequence[int], unused: bool
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dims[0])
        self.shrink = Shrink(spatial_dims, dims, reductions)
        self.attention = Attention(dims[0], heads=1)
        self.ffn_norm = nn.LayerNorm(dims[0])
        self.ffns = nn.ModuleList(EnhancedMixFFN(spatial_dims, dim, unused) for dim in dims)

    def forward(self, tokens: Tensor, shapes: Sequence[Sequence[int]]) -> Tensor:
        width = tokens.shape[-1]
        x = self.attention_norm(tokens)
        tokens = tokens + self.attention(x, self.shrink(part(x, shapes)))
        maps = part(self.ffn_norm(tokens), shapes)
        return tokens + join([ffn(x) for ffn, x in zip(self.ffns, maps, strict=True)], width)


class Shrink(nn.Module):
    """Maps -> the context of one sequence: each map by a convolution of kernel and stride r (none for 1), norm.

    The authors' code deals the convolution's channels out to the k_i tokens in another order, which is the same
    network with those channels renamed.
    """

    def __init__(self, spatial_dims: int, dims: Sequence[int], reductions: Sequence[int]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            CONVOLUTION[spatial_dims](dim, dim, r, stride=r) if r > 1 else nn.Identity()
            for dim, r in zip(dims, reductions, strict=True)
        )
        self.norm = nn.LayerNorm(dims[0])

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        pairs = zip(self.convolutions, maps, strict=True)
        shrunk = [channels_last(shrink(channels_first(x))) for shrink, x in pairs]
        return self.norm(join(shrunk, self.norm.normalized_shape[0]))


def join(maps: Sequence[Tensor], width: int) -> Tensor:
    """Maps (B, *S_i, k_i `width`) -> tokens (B, sum of k_i voxels_i, `width`)."""
    return cat([x.reshape(x.shape[0], -1, width) for x in maps], dim=1)


def part(tokens: Tensor, shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """The inverse of `join`, for maps of `shapes`."""
    counts = [prod(shape[1:]) // tokens.shape[-1] for shape in shapes]
    return [x.reshape(tuple(shape)) for x, shape in zip(tokens.split(counts, dim=1), shapes, strict=True)]
