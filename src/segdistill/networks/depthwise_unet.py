"""A U-Net of separable convolutions: depthwise, or LCOV-Net's split of a volume into slices and the axis across."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import Tensor, cat, nn
from torch.nn.functional import interpolate

from segdistill.networks.blocks import CONVOLUTION, LINEAR_MODE, MAX_POOL, TRANSPOSED
from segdistill.networks.blocks.depthwise_blocks import InitialBlock, LightBlock, Separable, convolution
from segdistill.networks.sizes import check_channels, check_image
from segdistill.networks.stages import Stage

Width = Annotated[int, Field(ge=1)]


class DepthwiseUNet(nn.Module):
    """A light U-Net after LCOV-Net (Zhao et al., ISBI 2021 and TMI 2023) and ENet (Paszke et al., 2016).

    Level i works at 1/2^i with `channels[i]` channels: a lightweight block of two separable convolutions each way;
    max-pooling 2 down; a 1-wide convolution, linear upsampling and the concatenated skip up. Batch norm and ReLU6
    follow the convolutions. The output is a 1-wide convolution.

    `separable` says how a block's convolutions are made. "depthwise" (ours, after MobileNet, Howard et al., 2017): each
    is a depthwise convolution 3 and a 1-wide one. "spatiotemporal" (LCOV-Net): the two together are one convolution 3,
    the first along the last axis (across the slices), the second along the others (within a slice; depthwise at the
    deepest level). LCOV-Net has 3-D; 2-D is the same with 1 x 3 and 3 x 1. `attention` (LCOV-Net's lightweight feature
    calibration) adds the first convolution's map, weighed voxel by voxel. `dropout` is LCOV-Net's, of single values.
    `early_downsampling` (ENet) halves the image at once, by a convolution of stride 2 beside max-pooling: all levels
    then work at half their resolution, and the output is a transposed convolution 2. `deep_supervision` (TMI 2023)
    gives each decoder level an output; in training mode the network then returns a list of logits, full resolution
    first. Sizes: every axis divisible by 2^(levels - 1), doubled by `early_downsampling`.

    The defaults, with TMI 2023's channels, have 962,559 parameters for one channel and one class in 3-D, 3.66e9
    multiply-adds at 64 x 64 x 64. LCOV-Net's official code has the same number of parameters with "spatiotemporal": TMI
    2023, with `deep_supervision`, 2,785,764 for one channel and 17 classes in 3-D; ISBI 2021, with `channels`
    (32, 64, 128, 256), 806,113 for one channel and one class, and 832 more for its output convolution, which is 3-wide.

    Stages, s being 1, or 2 with `early_downsampling`: `encoder/<s>` .. `encoder/<deepest>`, `decoder/<..>` ..
    `decoder/<s>`, `logits`, `logits/2`, ... With `early_downsampling` also `encoder/2/initial`, ENet's first layer, and
    `decoder/1`, which is `decoder/2` upsampled linearly, made only where asked for.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        channels: Annotated[tuple[Width, ...], Field(min_length=2, max_length=8)] = (32, 64, 128, 256, 256),
        separable: Separable = "depthwise",
        attention: bool = True,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2,
        early_downsampling: bool = False,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        check_channels("depthwise_unet", spatial_dims, in_channels, out_channels)
        if early_downsampling and channels[0] <= in_channels:
            raise ValueError(
                f"depthwise_unet: early_downsampling puts convolved channels beside the image's {in_channels}: give "
                f"the first level more than {in_channels} channels; got channels[0] = {channels[0]}"
            )
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.deep_supervision = deep_supervision
        self.first_stride = 2 if early_downsampling else 1
        self.divisible_by = self.first_stride * 2 ** (len(channels) - 1)
        block = partial(LightBlock, spatial_dims, separable=separable, attention=attention, dropout=dropout)

        self.initial = InitialBlock(spatial_dims, in_channels, channels[0]) if early_downsampling else None
        inputs = [channels[0] if early_downsampling else in_channels, *channels[:-1]]
        self.encoder = nn.ModuleList(
            block(a, b, deepest=i == len(channels) - 1)
            for i, (a, b) in enumerate(zip(inputs, channels, strict=True))
        )
        self.pool = MAX_POOL[spatial_dims](2)
        pairs = list(pairwise(reversed(channels)))  # from the bottleneck upwards
        self.up = nn.ModuleList(
            nn.Sequential(
                *convolution(spatial_dims, deep, wide, (1,)),
                nn.Dropout(dropout),
                nn.Upsample(scale_factor=2, mode=LINEAR_MODE[spatial_dims], align_corners=False),
            )
            for deep, wide in pairs
        )
        self.decoder = nn.ModuleList(block(2 * wide, wide) for _, wide in pairs)
        headed = [wide for _, wide in pairs][::-1]  # index 0 is the highest resolution
        self.heads = nn.ModuleList(
            TRANSPOSED[spatial_dims](wide, out_channels, 2, stride=2)
            if early_downsampling
            else CONVOLUTION[spatial_dims](wide, out_channels, 1)
            for wide in (headed if deep_supervision else headed[:1])
        )

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """(B, in_channels, *S) -> (B, out_channels, *S); with deep supervision a list in training."""
        check_image(
            image,
            "depthwise_unet",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
        )
        skips: list[Tensor] = []
        x = image if self.initial is None else self.initial(image)
        for level in self.encoder:
            x = level(self.pool(x) if skips else x)
            skips.append(x)
        maps = []
        for up, level, skip in zip(self.up, self.decoder, skips[-2::-1], strict=True):
            x = level(cat([up(x), skip], dim=1))
            maps.append(x)
        logits = [head(x) for head, x in zip(self.heads, reversed(maps), strict=False)]
        return logits if self.deep_supervision and self.training else logits[0]

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, how its output is read), in forward order."""
        first, depth = self.first_stride, len(self.encoder)
        table: dict[str, Stage] = {}
        if self.initial is not None:
            table["encoder/2/initial"] = (self.initial, None)
        table |= {f"encoder/{first << i}": (level, None) for i, level in enumerate(self.encoder)}
        table |= {
            f"decoder/{first << (depth - 2 - i)}": (level, None) for i, level in enumerate(self.decoder)
        }
        if first > 1:
            mode = LINEAR_MODE[self.spatial_dims]
            full_size = partial(interpolate, scale_factor=first, mode=mode, align_corners=False)
            table["decoder/1"] = (self.decoder[-1], full_size)
        return table | {
            f"logits/{2**i}" if i else "logits": (head, None) for i, head in enumerate(self.heads)
        }
