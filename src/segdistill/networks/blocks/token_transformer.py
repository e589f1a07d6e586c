"""A Vision Transformer's layers on the positions of a feature map, from a map to a map."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from monai.networks.blocks.mlp import MLPBlock
from monai.networks.blocks.selfattention import SABlock
from torch import Tensor, nn


class TokenTransformer(nn.Module):
    """(B, width, *grid) -> (B, width, *grid): one token a voxel, learned positions, `layers` pre-norm layers.

    The positions start at zero and bind the network to one `grid`. `bias`: of the query, key and value. `final_norm`:
    a layer norm after the last layer, without which the layers' sum is the output.
    """

    def __init__(
        self,
        grid: Sequence[int],
        width: int,
        *,
        layers: int,
        heads: int,
        mlp_size: int,
        bias: bool,
        dropout: float,
        attention_dropout: float,
        final_norm: bool,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(1, prod(grid), width))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(
            *(Layer(width, heads, mlp_size, bias, dropout, attention_dropout, eps) for _ in range(layers))
        )
        self.norm = nn.LayerNorm(width, eps=eps) if final_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.dropout(x.flatten(2).transpose(1, 2) + self.positions)
        tokens = self.norm(self.layers(tokens))
        return tokens.transpose(1, 2).reshape(x.shape)


class Layer(nn.Module):
    """x += attention(norm(x)); x += mlp(norm(x)), with GELU in the MLP; MONAI's attention and MLP."""

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_size: int,
        bias: bool,
        dropout: float,
        attention_dropout: float,
        eps: float,
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.attention = SABlock(width, heads, attention_dropout, qkv_bias=bias)
        self.mlp_norm = nn.LayerNorm(width, eps=eps)
        self.mlp = MLPBlock(width, mlp_size, dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(self.attention_norm(tokens))
        return tokens + self.mlp(self.mlp_norm(tokens))
