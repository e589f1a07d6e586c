"""The Transformer side of H-DenseFormer: one branch a modality, of densely connected blocks."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, cat, nn

from segdistill.networks.blocks import CONVOLUTION

PATCH = 16  # side of a patch, and so the stride of the branch's map
GROWTH = 32  # channels that each inner layer adds
LAYERS = 4  # inner layers of a block
HEADS = 8
HIDDEN = 64  # of each MLP, and of a block's last bottleneck


class Attention(nn.Module):
    """Multi-head self-attention over tokens (B, N, `width`): qkv without bias, projection with bias.

    The softmax is a module because the published operation counts include it.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.softmax = nn.Softmax(dim=-1)
        self.projection = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        qkv = self.qkv(tokens).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        scale = (width // self.heads) ** -0.5
        mixed = self.softmax(scale * query @ key.transpose(-2, -1)) @ value
        return self.dropout(self.projection(mixed.transpose(1, 2).reshape(batch, count, width)))


class InnerLayer(nn.Module):
    """Linear to GROWTH; x += attention(norm(x)); x += mlp(norm(x)); returns mlp(norm(x)) of the updated x.

    That last MLP is the same module evaluated once more, as in the authors' network: its result, not x
    itself, is what the block concatenates.
    """

    def __init__(self, in_width: int, dropout: float) -> None:
        super().__init__()
        self.reduce = nn.Linear(in_width, GROWTH)
        self.attention_norm = nn.LayerNorm(GROWTH)
        self.attention = Attention(GROWTH, HEADS, dropout)
        self.mlp_norm = nn.LayerNorm(GROWTH)
        self.mlp = nn.Sequential(
            nn.Linear(GROWTH, HIDDEN),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, GROWTH),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.reduce(tokens)
        x = x + self.attention(self.attention_norm(x))
        x = x + self.mlp(self.mlp_norm(x))
        return self.mlp(self.mlp_norm(x))


class DenseBlock(nn.Module):
    """A densely connected block: every inner layer sees the results of all before it; no residual."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(InnerLayer(width + GROWTH * i, dropout) for i in range(LAYERS))
        joined = width + GROWTH * LAYERS
        self.out = nn.Sequential(nn.Linear(joined, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, width))

    def forward(self, tokens: Tensor) -> Tensor:
        for layer in self.layers:
            tokens = cat([tokens, layer(tokens)], dim=-1)
        return self.out(tokens)


class Branch(nn.Module):
    """One modality, (B, 1, *S) -> (B, width, *S/16): patch embedding, learned positions, dense blocks."""

    def __init__(
        self, spatial_dims: int, image_size: Sequence[int], width: int, blocks: int, dropout: float
    ) -> None:
        super().__init__()
        self.patches = CONVOLUTION[spatial_dims](1, width, PATCH, stride=PATCH)
        tokens = prod(length // PATCH for length in image_size)
        self.positions = nn.Parameter(torch.zeros(1, tokens, width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(DenseBlock(width, dropout) for _ in range(blocks)))

    def forward(self, channel: Tensor) -> Tensor:
        embedded = self.patches(channel)
        tokens = embedded.flatten(2).transpose(1, 2)
        tokens = self.blocks(self.dropout(tokens + self.positions))
        return tokens.transpose(1, 2).reshape(embedded.shape)


class ParallelBranches(nn.Module):
    """One `Branch` for each input channel, maps concatenated: (B, M, *S) -> (B, M * width, *S/16)."""

    def __init__(
        self,
        spatial_dims: int,
        channels: int,
        image_size: Sequence[int],
        width: int,
        blocks: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            Branch(spatial_dims, image_size, width, blocks, dropout) for _ in range(channels)
        )

    def forward(self, image: Tensor) -> Tensor:
        return cat([branch(image[:, i : i + 1]) for i, branch in enumerate(self.branches)], dim=1)
