"""The few layers that more than one network is made of, chosen by the number of spatial dimensions."""

from __future__ import annotations

from torch import Tensor, nn

CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
INSTANCE_NORM: dict[int, type[nn.InstanceNorm2d] | type[nn.InstanceNorm3d]] = {
    2: nn.InstanceNorm2d,
    3: nn.InstanceNorm3d,
}
BATCH_NORM: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
AVERAGE_POOL: dict[int, type[nn.AvgPool2d] | type[nn.AvgPool3d]] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
MAX_POOL: dict[int, type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
DROPOUT: dict[int, type[nn.Dropout2d] | type[nn.Dropout3d]] = {2: nn.Dropout2d, 3: nn.Dropout3d}
LINEAR_MODE = {2: "bilinear", 3: "trilinear"}


def conv_norm_activation(
    spatial_dims: int, in_channels: int, out_channels: int, activation: nn.Module, *, stride: int = 1
) -> nn.Sequential:
    """3-wide convolution (no bias), instance norm with learned scale and shift, activation."""
    return nn.Sequential(
        CONVOLUTION[spatial_dims](in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        INSTANCE_NORM[spatial_dims](out_channels, affine=True),
        activation,
    )


class Add(nn.Module):
    """The sum of two maps, as a module, so that a hook can see it."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first + second
