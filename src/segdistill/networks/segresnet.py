"""SegResNet: a wide residual encoder and a narrow decoder."""

from __future__ import annotations

from math import gcd
from typing import Annotated

from monai.networks.nets.segresnet import SegResNet as MonaiSegResNet
from pydantic import Field
from torch import Tensor, nn

from segdistill.networks.sizes import check_channels, check_image
from segdistill.networks.stages import Stage

Blocks = Annotated[int, Field(ge=1)]


class SegResNet(nn.Module):
    """SegResNet (Myronenko, BrainLes 2018), MONAI's, with named stages; without the auxiliary autoencoder.

    A 3-wide convolution to `filters` channels, then level i with `filters` * 2^i channels at 1/2^i: `blocks_down[i]`
    residual blocks [group norm, ReLU, convolution 3] x 2, a 3-wide convolution with stride 2 before each level but the
    first. Going up: a 1-wide convolution to half the channels, linear upsampling by 2, the skip added, `blocks_up[i]`
    residual blocks (from the deepest level upwards). Last: group norm, ReLU, 1-wide convolution. The paper is 3-D; 2-D
    is the same with 2-D operations. Sizes: every axis divisible by 2^(len(blocks_down) - 1), more than one voxel left.

    `groups`: of each norm; where they do not divide `filters`, their greatest common divisor. `dropout` drops whole
    channels after the first convolution (the paper and MONAI's BraTS model: 0.2). Defaults are MONAI's: 1,176,186
    parameters for one channel and two classes in 3-D. The paper has 32 `filters`: 18,798,627 for the four channels and
    three classes of BraTS; MONAI's BraTS model has 16: 4,702,227.

    MONAI's parameter names are kept under `network.`.

    Stages: `encoder/1` .. `encoder/<deepest>`, `decoder/<..>` .. `decoder/1`, `logits`.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        filters: Annotated[int, Field(ge=1)] = 8,
        blocks_down: Annotated[tuple[Blocks, ...], Field(min_length=2, max_length=8)] = (1, 2, 2, 4),
        blocks_up: Annotated[tuple[Blocks, ...], Field(min_length=1, max_length=7)] = (1, 1, 1),
        groups: Annotated[int, Field(ge=1)] = 8,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        check_channels("segresnet", spatial_dims, in_channels, out_channels)
        if len(blocks_up) != len(blocks_down) - 1:
            raise ValueError(
                f"segresnet: blocks_up ({len(blocks_up)} levels) must have one level fewer than blocks_down "
                f"({len(blocks_down)} levels); the deepest has no way up to itself"
            )
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.divisible_by = 2 ** len(blocks_up)
        self.network = MonaiSegResNet(
            spatial_dims,
            filters,
            in_channels,
            out_channels,
            dropout_prob=dropout or None,
            norm=("group", {"num_groups": gcd(groups, filters)}),
            blocks_down=blocks_down,
            blocks_up=blocks_up,
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, in_channels, *S) -> (B, out_channels, *S)."""
        check_image(
            image,
            "segresnet",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
        )
        return self.network(image)

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, None), in forward order."""
        down, up = self.network.down_layers, self.network.up_layers
        table: dict[str, Stage] = {f"encoder/{2**i}": (level, None) for i, level in enumerate(down)}
        table |= {f"decoder/{2 ** (len(up) - 1 - i)}": (level, None) for i, level in enumerate(up)}
        return table | {"logits": (self.network.conv_final, None)}
