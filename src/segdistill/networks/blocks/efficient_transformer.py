"""Transformer blocks whose keys and values are fewer than their queries, with MISSFormer's Enhanced Mix-FFN.

Maps have their channels last, (B, *S, C), as linear layers and layer norms take them.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from segdistill.networks.blocks import CONVOLUTION
from segdistill.networks.blocks.patch_expand import channels_first, channels_last


class Attention(nn.Module):
    """Multi-head attention of tokens (B, N, `width`) to a context (B, M, `width`)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        query = self.query(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = self.key_value(context).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.projection(scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class EfficientSelfAttention(nn.Module):
    """Self-attention of a map; the context is the map shrunk by a convolution of kernel and stride `reduction`."""

    def __init__(self, spatial_dims: int, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.reduce: nn.Module | None = None
        if reduction > 1:
            self.reduce = CONVOLUTION[spatial_dims](width, width, reduction, stride=reduction)
            self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        context = x
        if self.reduce is not None:
            context = self.norm(channels_last(self.reduce(channels_first(x))))
        return self.attention(x.flatten(1, -2), context.flatten(1, -2)).reshape(x.shape)


class EnhancedMixFFN(nn.Module):
    """Linear to 4 x `width`; add its depthwise convolution 3, layer norm, GELU; linear back.

    `unused` adds the two layer norms that the authors' code makes beside it and never runs.
    """

    def __init__(self, spatial_dims: int, width: int, unused: bool) -> None:
        super().__init__()
        hidden = 4 * width
        self.expand = nn.Linear(width, hidden)
        self.depthwise = CONVOLUTION[spatial_dims](hidden, hidden, 3, padding=1, groups=hidden)
        self.norm = nn.LayerNorm(hidden)
        self.activation = nn.GELU()
        self.reduce = nn.Linear(hidden, width)
        self.unused = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(2 if unused else 0))

    def forward(self, x: Tensor) -> Tensor:
        x = self.expand(x)
        x = x + channels_last(self.depthwise(channels_first(x)))
        return self.reduce(self.activation(self.norm(x)))


class Block(nn.Module):
    """x += attention(norm(x)); x += mix_ffn(norm(x))."""

    def __init__(self, spatial_dims: int, width: int, heads: int, reduction: int, unused: bool) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = EfficientSelfAttention(spatial_dims, width, heads, reduction)
        self.ffn_norm = nn.LayerNorm(width)
        self.ffn = EnhancedMixFFN(spatial_dims, width, unused)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.ffn(self.ffn_norm(x))
