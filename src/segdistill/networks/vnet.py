"""V-Net: a residual encoder-decoder of 5-wide convolutions."""

from __future__ import annotations

from math import ceil
from typing import Annotated, Any, Literal

from monai.networks.blocks import Convolution
from monai.networks.nets.vnet import DownTransition, OutputTransition, UpTransition, get_acti_layer
from pydantic import Field
from torch import Tensor, nn

from segdistill.networks.blocks import CONVOLUTION
from segdistill.networks.sizes import check_channels, check_image
from segdistill.networks.stages import Stage

ACTIVATIONS: dict[str, Any] = {"elu": ("elu", {"inplace": True}), "prelu": "prelu"}


class VNet(nn.Module):
    """V-Net (Milletari et al., 3DV 2016) of MONAI's blocks, at any width and for any number of input channels.

    Five levels of 5-wide convolutions with `filters` * (1, 2, 4, 8, 16) channels: 1, 1, 2, 3 and 2 convolutions on the
    way down, 2, 2, 1 and 1 on the way up (the paper has 1, 2, 3, 3, 3 and 3, 3, 2, 1), each level's input added to its
    output; 2-wide convolutions with stride 2 between levels, transposed on the way up, where the skip is concatenated.
    The first level adds the image repeated to `filters` channels, cyclically and cut where the numbers do not divide;
    an image of more channels than `filters` is brought to `filters` by a learned 1-wide convolution, `in_tr.project`.
    The output is a 5-wide and a 1-wide convolution, no softmax. Batch norm after each convolution but the last is
    MONAI's, the paper has none. The paper is 3-D; 2-D is the same with 2-D operations. Sizes: every axis divisible by
    16, more than one voxel left.

    `activation` is MONAI's ELU or the paper's PReLU. `dropout` drops whole channels: of the maps that come down to 1/8
    and 1/16, of those that go up from 1/16 and 1/8, and of every skip; 0 is the paper's, 0.5 MONAI's default (whose 2-D
    drops all channels of an image at once). At `filters` 16 the network is MONAI's `VNet`, and the parameters have its
    names, so that its checkpoints load: 45,597,898 parameters for one channel and two classes in 3-D, 365.76e9
    multiply-adds at the paper's 128 x 128 x 64; 9,358,730 parameters in 2-D. The paper gives no numbers.

    Stages: `encoder/1` .. `encoder/16`, `decoder/8` .. `decoder/1`, `logits`.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        filters: Annotated[int, Field(ge=1)] = 16,
        activation: Literal["elu", "prelu"] = "elu",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        check_channels("vnet", spatial_dims, in_channels, out_channels)
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.divisible_by = 16
        act = ACTIVATIONS[activation]

        def down(width: int, convolutions: int, drop: float | None) -> DownTransition:
            return DownTransition(
                spatial_dims, width * filters, convolutions, act, dropout_prob=drop, dropout_dim=spatial_dims
            )

        def up(inputs: int, outputs: int, convolutions: int, drop: float | None) -> UpTransition:
            # The second of the two probabilities is that of the skip, which MONAI drops at every level.
            return UpTransition(
                spatial_dims,
                inputs * filters,
                outputs * filters,
                convolutions,
                act,
                dropout_prob=(drop, dropout),
                dropout_dim=spatial_dims,
            )

        # MONAI's names, which count the channels at 16 filters.
        self.in_tr = InputTransition(spatial_dims, in_channels, filters, act)
        self.down_tr32 = down(1, 1, None)
        self.down_tr64 = down(2, 2, None)
        self.down_tr128 = down(4, 3, dropout)
        self.down_tr256 = down(8, 2, dropout)
        self.up_tr256 = up(16, 16, 2, dropout)
        self.up_tr128 = up(16, 8, 2, dropout)
        self.up_tr64 = up(8, 4, 1, None)
        self.up_tr32 = up(4, 2, 1, None)
        self.out_tr = OutputTransition(spatial_dims, 2 * filters, out_channels, act)

    def forward(self, image: Tensor) -> Tensor:
        """(B, in_channels, *S) -> (B, out_channels, *S)."""
        check_image(
            image,
            "vnet",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
        )
        skips = [self.in_tr(image)]
        for down in (self.down_tr32, self.down_tr64, self.down_tr128):
            skips.append(down(skips[-1]))
        x = self.down_tr256(skips[-1])
        for up in (self.up_tr256, self.up_tr128, self.up_tr64, self.up_tr32):
            x = up(x, skips.pop())
        return self.out_tr(x)

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, None), in forward order."""
        down = [self.in_tr, self.down_tr32, self.down_tr64, self.down_tr128, self.down_tr256]
        up = [self.up_tr32, self.up_tr64, self.up_tr128, self.up_tr256]
        table: dict[str, Stage] = {f"encoder/{2**i}": (level, None) for i, level in enumerate(down)}
        table |= {f"decoder/{2**i}": (up[i], None) for i in (3, 2, 1, 0)}
        return table | {"logits": (self.out_tr, None)}


class InputTransition(nn.Module):
    """Activation of [5-wide convolution, batch norm] plus the image brought to as many channels.

    MONAI's block of this name demands that `in_channels` divide `filters`; where it does, this is the same.
    """

    def __init__(self, spatial_dims: int, in_channels: int, filters: int, act: Any) -> None:
        super().__init__()
        self.filters = filters
        self.repeats = (1, ceil(filters / in_channels), *[1] * spatial_dims)
        self.act_function = get_acti_layer(act, filters)
        self.conv_block = Convolution(
            spatial_dims, in_channels, filters, kernel_size=5, act=None, norm="batch", bias=False
        )
        self.project = None
        if in_channels > filters:
            self.project = CONVOLUTION[spatial_dims](in_channels, filters, 1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        if self.project is not None:
            shortcut = self.project(image)
        else:
            shortcut = image.repeat(self.repeats)[:, : self.filters]
        return self.act_function(self.conv_block(image) + shortcut)
