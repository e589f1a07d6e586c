"""The ResNet of Big Transfer: weight-standardised convolutions with group norm; TransUNet's encoder under its ViT."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from segdistill.networks.blocks import MAX_POOL
from segdistill.networks.stages import Stage

GROUPS = 32  # of a group norm


def standardised(weight: Tensor) -> Tensor:
    """Each output channel's weights with mean 0 and variance 1."""
    variance, mean = torch.var_mean(weight, dim=list(range(1, weight.ndim)), keepdim=True, unbiased=False)
    return (weight - mean) * torch.rsqrt(variance + 1e-5)


class StandardisedConv2d(nn.Conv2d):
    """A convolution with `standardised` weights."""

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, standardised(self.weight), self.bias)


class StandardisedConv3d(nn.Conv3d):
    """A convolution with `standardised` weights."""

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, standardised(self.weight), self.bias)


STANDARDISED: dict[int, type[StandardisedConv2d] | type[StandardisedConv3d]] = {
    2: StandardisedConv2d,
    3: StandardisedConv3d,
}


class StandardisedResNet(nn.Module):
    """The image to the map at 1/16, with `filters` * 16 channels, and to the skips at 1/8, 1/4 and 1/2.

    Stem [convolution 7 with stride 2, group norm, ReLU] to `filters` channels, max-pool 3 with stride 2 *without
    padding*, three stages of bottleneck units with `filters` * (4, 8, 16) channels. Without padding the maps of the
    first stage are one voxel short of 1/4 along each axis: the skip, not the next stage's input, gets zeros there.
    """

    def __init__(self, spatial_dims: int, in_channels: int, *, filters: int, units: Sequence[int]) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            STANDARDISED[spatial_dims](in_channels, filters, 7, stride=2, padding=3, bias=False),
            group_norm(filters),
            nn.ReLU(inplace=True),
        )
        self.pool = MAX_POOL[spatial_dims](3, stride=2)
        self.layers = nn.ModuleList()
        inputs = filters
        for stage, count in enumerate(units):
            outputs = filters * (4 << stage)
            blocks = [
                Bottleneck(
                    spatial_dims, inputs if i == 0 else outputs, outputs, stride=2 if stage and i == 0 else 1
                )
                for i in range(count)
            ]
            self.layers.append(nn.Sequential(*blocks))
            inputs = outputs
        self.grow = Grow()

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        half = self.stem(image)
        first, second, third = self.layers
        quarter = first(self.pool(half))
        eighth = second(quarter)
        return third(eighth), [eighth, self.grow(quarter), half]

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, None), in forward order."""
        _, second, third = self.layers
        return {
            "encoder/2": (self.stem, None),
            "encoder/8": (second, None),
            "encoder/16/resnet": (third, None),
            "encoder/4": (self.grow, None),
        }


class Grow(nn.Module):
    """One more voxel of zeros at the end of each axis."""

    def forward(self, x: Tensor) -> Tensor:
        return pad(x, (0, 1) * (x.ndim - 2))


class Bottleneck(nn.Module):
    """ReLU of the sum of x (projected where size or width change) and convolutions 1, 3, 1 with a quarter of the width.

    A group norm follows each convolution; after the projection it has one group a channel.
    """

    def __init__(self, spatial_dims: int, in_width: int, width: int, *, stride: int) -> None:
        super().__init__()
        convolution = STANDARDISED[spatial_dims]
        inner = width // 4
        self.layers = nn.Sequential(
            convolution(in_width, inner, 1, bias=False),
            group_norm(inner),
            nn.ReLU(inplace=True),
            convolution(inner, inner, 3, stride=stride, padding=1, bias=False),
            group_norm(inner),
            nn.ReLU(inplace=True),
            convolution(inner, width, 1, bias=False),
            group_norm(width),
        )
        self.project: nn.Module = nn.Identity()
        if stride != 1 or in_width != width:
            self.project = nn.Sequential(
                convolution(in_width, width, 1, stride=stride, bias=False), nn.GroupNorm(width, width)
            )
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.project(x) + self.layers(x))


def group_norm(width: int) -> nn.GroupNorm:
    """Of 32 groups, or as many of them as divide the width."""
    return nn.GroupNorm(gcd(GROUPS, width), width, eps=1e-6)
