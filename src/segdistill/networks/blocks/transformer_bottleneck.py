"""A residual U-Net of three halvings with a Transformer at 1/8: what TransBTS and MISSU have in common."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from torch import Tensor, cat, nn

from segdistill.networks.blocks import BATCH_NORM, CONVOLUTION, DROPOUT, TRANSPOSED
from segdistill.networks.blocks.token_transformer import TokenTransformer
from segdistill.networks.stages import Stage

STRIDE = 8  # of the map whose voxels are the Transformer's tokens
GROUPS = 8  # of a group norm


class TransformerBottleneckUNet(nn.Module):
    """Encoder of `filters` * (1, 2, 4, 8) channels, Transformer of `hidden_size`, decoder of the encoder's widths.

    Level i of the encoder: a 3-wide convolution (stride 2 but for the first level) and `blocks`[i] residual blocks.
    Then batch norm, ReLU, a convolution to `hidden_size`, the Transformer, and convolutions down to a quarter of
    `hidden_size`, from where three steps lead up. `unused_layers`: see `TransBTS`.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        image_size: Sequence[int],
        *,
        filters: int,
        blocks: Sequence[int],
        hidden_size: int,
        mlp_size: int,
        heads: int,
        layers: int,
        dropout: float,
        stem_dropout: float,
        unused_layers: bool = False,
    ) -> None:
        super().__init__()
        convolution = CONVOLUTION[spatial_dims]
        widths = [filters * 2**level for level in range(4)]
        self.encoder = nn.ModuleList()
        for level, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            inputs = widths[level - 1] if level else in_channels
            down = convolution(inputs, width, 3, stride=2 if level else 1, padding=1)
            drop = DROPOUT[spatial_dims](0.0 if level else stem_dropout)
            residual = (PreActivationBlock(spatial_dims, width) for _ in range(count))
            self.encoder.append(nn.Sequential(down, drop, *residual))
        self.embedding = nn.Sequential(
            BATCH_NORM[spatial_dims](widths[-1]),
            nn.ReLU(inplace=True),
            convolution(widths[-1], hidden_size, 3, padding=1),
        )
        self.transformer = TokenTransformer(
            [length // STRIDE for length in image_size],
            hidden_size,
            layers=layers,
            heads=heads,
            mlp_size=mlp_size,
            bias=False,
            dropout=dropout,
            attention_dropout=dropout,
            final_norm=False,
        )
        if unused_layers:
            self.unused_norm = nn.LayerNorm(hidden_size)
            self.unused_embedding = nn.Linear(widths[-1] * in_channels, hidden_size)
        self.unused_layers = unused_layers
        narrow = hidden_size // 4
        self.narrow = nn.Sequential(
            *convolutions(spatial_dims, hidden_size, narrow), PostActivationBlock(spatial_dims, narrow)
        )
        self.decoder = nn.ModuleList(
            Up(spatial_dims, a, b)
            for a, b in [(narrow, widths[2]), (widths[2], widths[1]), (widths[1], widths[0])]
        )
        self.out = convolution(filters, out_channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        maps = []
        x = image
        for level in self.encoder:
            x = level(x)
            maps.append(x)
        x = self.transformer(self.embedding(maps.pop()))
        if self.unused_layers:
            self.unused_norm(x.flatten(2).transpose(1, 2))
        x = self.narrow(x)
        for up in self.decoder:
            x = up(x, maps.pop())
        return self.out(x)

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, None), in forward order."""
        names = ["encoder/1", "encoder/2", "encoder/4", "encoder/8/residual"]
        table: dict[str, Stage] = {
            name: (level, None) for name, level in zip(names, self.encoder, strict=True)
        }
        table |= {"encoder/8": (self.transformer, None), "decoder/8": (self.narrow, None)}
        names = ["decoder/4", "decoder/2", "decoder/1"]
        table |= {name: (up, None) for name, up in zip(names, self.decoder, strict=True)}
        return table | {"logits": (self.out, None)}


class PreActivationBlock(nn.Module):
    """x plus twice [group norm, ReLU, convolution 3]; fewer groups than eight where the width has no eighth."""

    def __init__(self, spatial_dims: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [
                nn.GroupNorm(gcd(GROUPS, width), width),
                nn.ReLU(inplace=True),
                CONVOLUTION[spatial_dims](width, width, 3, padding=1),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class PostActivationBlock(nn.Module):
    """x plus twice [convolution 3, batch norm, ReLU]."""

    def __init__(self, spatial_dims: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*convolutions(spatial_dims, width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Up(nn.Module):
    """Convolution 1, transposed convolution 2, the skip concatenated, convolution 1, a residual block."""

    def __init__(self, spatial_dims: int, in_width: int, width: int) -> None:
        super().__init__()
        self.up = nn.Sequential(
            CONVOLUTION[spatial_dims](in_width, width, 1), TRANSPOSED[spatial_dims](width, width, 2, stride=2)
        )
        self.fuse = CONVOLUTION[spatial_dims](2 * width, width, 1)
        self.block = PostActivationBlock(spatial_dims, width)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.block(self.fuse(cat([skip, self.up(x)], dim=1)))


def convolutions(spatial_dims: int, in_width: int, width: int) -> list[nn.Module]:
    """Twice [convolution 3 with bias, batch norm, ReLU]."""
    layers: list[nn.Module] = []
    for inputs in (in_width, width):
        layers += [
            CONVOLUTION[spatial_dims](inputs, width, 3, padding=1),
            BATCH_NORM[spatial_dims](width),
            nn.ReLU(inplace=True),
        ]
    return layers


def check_widths(name: str, hidden_size: int, heads: int) -> None:
    """Raise a ValueError unless the Transformer can be split into heads and narrowed to a quarter."""
    for what, number in (("heads", heads), ("its narrowing to a quarter", 4)):
        if hidden_size % number:
            raise ValueError(f"{name}: hidden_size ({hidden_size}) must be divisible by {what} ({number})")
