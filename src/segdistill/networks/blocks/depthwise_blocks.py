"""The blocks of a light U-Net: separable convolutions with calibration, and ENet's first layer."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, cat, nn

from segdistill.networks.blocks import AVERAGE_POOL, BATCH_NORM, CONVOLUTION, LINEAR_MODE, MAX_POOL

Separable = Literal["depthwise", "spatiotemporal"]
ZERO_PAD: dict[int, type[nn.ZeroPad2d] | type[nn.ZeroPad3d]] = {2: nn.ZeroPad2d, 3: nn.ZeroPad3d}


class LightBlock(nn.Module):
    """LCOV-Net's lightweight attention-based convolutional block: y = second(first(x)) + gate * first(x).

    The gate is a sigmoid of a 1-wide convolution of first(x) at half its size, upsampled; at the `deepest` level it is
    at the same size, with a ReLU6 before the sigmoid, as in the official code. Without `attention`, y =
    second(first(x)).
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        separable: Separable,
        attention: bool,
        dropout: float,
        deepest: bool = False,
    ) -> None:
        super().__init__()
        if separable == "depthwise":
            first = [
                *convolution(spatial_dims, in_channels, in_channels, (3,), groups=in_channels),
                *convolution(spatial_dims, in_channels, out_channels, (1,)),
            ]
            second = [
                *convolution(spatial_dims, out_channels, out_channels, (3,), groups=out_channels),
                *convolution(spatial_dims, out_channels, out_channels, (1,)),
            ]
        else:
            across, within = (1,) * (spatial_dims - 1) + (3,), (3,) * (spatial_dims - 1) + (1,)
            groups = out_channels if deepest else 1
            first = convolution(spatial_dims, in_channels, out_channels, across)
            second = convolution(spatial_dims, out_channels, out_channels, within, groups=groups)
        self.first = nn.Sequential(*first)
        self.second = nn.Sequential(*second, nn.Dropout(dropout))
        self.gate = gate(spatial_dims, out_channels, dropout, pooled=not deepest) if attention else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.second(x) if self.gate is None else self.second(x) + self.gate(x) * x


class InitialBlock(nn.Module):
    """ENet's initial block: a convolution 3 of stride 2 beside the max-pooled image, batch norm, PReLU."""

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolution = CONVOLUTION[spatial_dims](
            in_channels, out_channels - in_channels, 3, stride=2, padding=1, bias=False
        )
        self.pool = MAX_POOL[spatial_dims](2)
        self.activation = nn.Sequential(BATCH_NORM[spatial_dims](out_channels), nn.PReLU(out_channels))

    def forward(self, image: Tensor) -> Tensor:
        return self.activation(cat([self.convolution(image), self.pool(image)], dim=1))


def gate(spatial_dims: int, channels: int, dropout: float, *, pooled: bool) -> nn.Sequential:
    """Lightweight feature calibration: a number between 0 and 1 for each voxel and channel."""
    linear, norm = CONVOLUTION[spatial_dims](channels, channels, 1), BATCH_NORM[spatial_dims](channels)
    if not pooled:
        return nn.Sequential(linear, norm, nn.ReLU6(inplace=True), nn.Dropout(dropout), nn.Sigmoid())
    return nn.Sequential(
        ZERO_PAD[spatial_dims](1),  # apart from the pooling, whose own padding does not let a side of 2 pass
        AVERAGE_POOL[spatial_dims](4, stride=2),
        linear,
        norm,
        nn.Upsample(scale_factor=2, mode=LINEAR_MODE[spatial_dims], align_corners=False),
        nn.Sigmoid(),
    )


def convolution(
    spatial_dims: int, in_channels: int, out_channels: int, kernel: tuple[int, ...], *, groups: int = 1
) -> list[nn.Module]:
    """Convolution (with bias, as in LCOV-Net) that keeps the size, batch norm, ReLU6."""
    sides: Any = kernel if len(kernel) > 1 else kernel * spatial_dims
    padding: Any = tuple(side // 2 for side in sides)
    return [
        CONVOLUTION[spatial_dims](in_channels, out_channels, sides, padding=padding, groups=groups),
        BATCH_NORM[spatial_dims](out_channels),
        nn.ReLU6(inplace=True),
    ]
