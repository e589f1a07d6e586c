"""The Transformer side of MDViT: attention of linear cost, positions by convolution, heads chosen by the domain."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor, cat, nn

from segdistill.networks.blocks import CONVOLUTION

WINDOWS = (3, 5, 7)  # of the relative position encoding, each for some of the heads


class TransformerStage(nn.Module):
    """Layers at one resolution on a (B, `width`, *S) map; they share the convolutions that tell positions.

    Those are modules of the stage and of each layer, as in the authors' network, whose published counts depend on it.
    """

    def __init__(
        self, spatial_dims: int, width: int, heads: Sequence[int], depth: int, mlp_ratio: int, domains: int
    ) -> None:
        super().__init__()
        self.position = CONVOLUTION[spatial_dims](width, width, 3, padding=1, groups=width)
        self.relative = RelativePosition(spatial_dims, width // sum(heads), heads)
        self.layers = nn.ModuleList(
            Layer(self.position, self.relative, width, sum(heads), mlp_ratio, domains) for _ in range(depth)
        )

    def forward(self, x: Tensor, domain: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, domain)
        return x


class Layer(nn.Module):
    """x += position(x), on the map; then on its tokens x += attention(norm(x)); x += mlp(norm(x))."""

    def __init__(
        self,
        position: nn.Module,
        relative: RelativePosition,
        width: int,
        heads: int,
        mlp_ratio: int,
        domains: int,
    ) -> None:
        super().__init__()
        self.position = position
        self.attention_norm = nn.LayerNorm(width, eps=1e-6)
        self.attention = FactorisedAttention(width, heads, domains, relative)
        self.mlp_norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_ratio * width), nn.GELU(), nn.Linear(mlp_ratio * width, width)
        )

    def forward(self, x: Tensor, domain: Tensor) -> Tensor:
        x = x + self.position(x)
        tokens = x.flatten(2).transpose(1, 2)
        tokens = tokens + self.attention(self.attention_norm(tokens), domain, x.shape[2:])
        tokens = tokens + self.mlp(self.mlp_norm(tokens))
        return tokens.transpose(1, 2).unflatten(2, x.shape[2:])


class FactorisedAttention(nn.Module):
    """Q (softmax over the tokens(K)^T V) / sqrt(c) + Q * convolution(V), each head weighed by the domain.

    The first product is of c x c numbers for a head of c channels, so the cost is linear in the tokens. The weights are
    a softmax over the heads, one for each of the c channels, of two linear layers on the domain vector.
    """

    def __init__(self, width: int, heads: int, domains: int, relative: RelativePosition) -> None:
        super().__init__()
        self.heads, self.relative = heads, relative
        self.qkv = nn.Linear(width, 3 * width)
        hidden = max(width // 2, 4)
        self.domain = nn.Sequential(nn.Linear(domains, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.projection = nn.Linear(width, width)

    def forward(self, tokens: Tensor, domain: Tensor, space: Sequence[int]) -> Tensor:
        batch, count, width = tokens.shape
        qkv = self.qkv(tokens).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, N, c)
        mixed = query @ (key.softmax(dim=2).transpose(-2, -1) @ value)
        near = self.relative(value.transpose(2, 3).reshape(batch, width, *space))
        near = near.reshape(batch, self.heads, width // self.heads, count).transpose(2, 3)
        mixed = (width // self.heads) ** -0.5 * mixed + query * near
        weights = self.domain(domain).reshape(batch, self.heads, 1, width // self.heads).softmax(dim=1)
        return self.projection((weights * mixed).transpose(1, 2).reshape(batch, count, width))


class RelativePosition(nn.Module):
    """Depthwise convolutions of the values; some heads see a window of 3, some of 5, some of 7."""

    def __init__(self, spatial_dims: int, head_width: int, heads: Sequence[int]) -> None:
        super().__init__()
        self.widths = [count * head_width for count in heads if count]
        windows = [window for window, count in zip(WINDOWS, heads, strict=True) if count]
        self.convolutions = nn.ModuleList(
            CONVOLUTION[spatial_dims](width, width, window, padding=window // 2, groups=width)
            for width, window in zip(self.widths, windows, strict=True)
        )

    def forward(self, values: Tensor) -> Tensor:
        parts = values.split(self.widths, dim=1)
        return cat([layer(part) for layer, part in zip(self.convolutions, parts, strict=True)], dim=1)


def initialise(module: nn.Module) -> None:
    """The authors' starting weights of one layer: a truncated normal for linear ones, He's by outputs else."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
    elif isinstance(module, nn.Conv2d | nn.Conv3d):
        outputs = prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=(2 / outputs) ** 0.5)
    if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d) and module.bias is not None:
        nn.init.zeros_(module.bias)
