"""Mobile U-Net: the encoder of MobileNetV2 with a decoder of the same blocks."""

from __future__ import annotations

from typing import Annotated

from monai.networks.blocks import ChannelSELayer
from pydantic import Field
from torch import Tensor, cat, nn

from segdistill.networks.blocks import BATCH_NORM, CONVOLUTION, TRANSPOSED
from segdistill.networks.sizes import check_channels, check_image
from segdistill.networks.stages import Stage

# MobileNetV2, Table 2: expansion t, channels c, blocks n, stride s of the first of them.
TABLE = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
]
STEM, LAST = 32, 1280
SKIPS = {1: 2, 3: 4, 6: 8, 13: 16}  # index of the last feature layer at a stride -> that stride
EXPANSION = 6
REDUCTION = 4  # of the channels, inside squeeze-and-excitation


class MobileUNet(nn.Module):
    """Mobile U-Net: MobileNetV2 (Sandler et al., CVPR 2018) as the encoder of a U-Net, with channel attention.

    Qing and Qi (ICBIC 2024, spine X-rays) teach a Mobile U-Net by a network with channel attention. Their layer list
    was not at hand: the encoder is MobileNetV2's Table 2, the decoder ours, made of the same blocks. The papers have
    2-D; 3-D is the same with 3-D operations (the encoder: Kopuklu et al., ICCVW 2019).

    Encoder: a convolution 3 with stride 2 to 32 channels, then 17 inverted residual blocks [1-wide convolution to t
    times the channels, depthwise convolution 3, 1-wide convolution; batch norm after each, ReLU6 after the first two];
    skips of 16, 24, 32 and 96 channels at 1/2, 1/4, 1/8 and 1/16; 320 channels at 1/32. A decoder step is a transposed
    convolution 2, the concatenated skip, squeeze-and-excitation (Hu et al., CVPR 2018) of the two, and an inverted
    residual block to the skip's channels. Its t is 6; the step to full size has no skip and t = 1, which MobileNetV2
    has for its own largest map. The output is a 1-wide convolution.

    `multiplier` scales all channels, rounded to multiples of 8 as in MobileNetV2. `last_pointwise` adds MobileNetV2's
    last layer, a 1-wide convolution to 1280 channels (never fewer) at 1/32. `channel_attention` is the
    squeeze-and-excitation. Sizes: every axis divisible by 32, more than one voxel left.

    The defaults have 2,401,025 parameters for three channels and one class in 2-D, 0.83e9 multiply-adds at 256 x 256.
    MobileNetV2's size is met: with `last_pointwise`, `features` has its 2,223,872 parameters (3,504,872 with the
    classifier for 1000 classes) and 0.30e9 multiply-adds at 224 x 224. `features` has torchvision's parameter names: of
    its MobileNetV2 weights, what begins with `features.` fits a 2-D network of three channels and multiplier 1 as it is
    (without `last_pointwise`, all but `features.18.`).

    Stages: `encoder/2` .. `encoder/16` the skips, `encoder/32` the last feature map; with `last_pointwise`,
    `encoder/32/stage` the map of 320 channels before it; `decoder/16` .. `decoder/1` the decoder steps; `logits`.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        multiplier: Annotated[float, Field(gt=0, le=4)] = 1.0,
        last_pointwise: bool = False,
        channel_attention: bool = True,
    ) -> None:
        super().__init__()
        check_channels("mobile_unet", spatial_dims, in_channels, out_channels)
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.divisible_by = 32
        current = rounded(STEM * multiplier)
        layers: list[nn.Module] = [convolution(spatial_dims, in_channels, current, 3, stride=2)]
        skips: list[int] = []
        for expansion, channels, blocks, stride in TABLE:
            for i in range(blocks):
                width = rounded(channels * multiplier)
                layers.append(
                    InvertedResidual(spatial_dims, current, width, expansion, stride if i == 0 else 1)
                )
                current = width
                if len(layers) - 1 in SKIPS:
                    skips.append(width)
        if last_pointwise:
            width = rounded(LAST * max(1.0, multiplier))
            layers.append(convolution(spatial_dims, current, width, 1))
            current = width
        self.features = nn.Sequential(*layers)
        self.decoder = nn.ModuleList()
        for skip in reversed(skips):
            self.decoder.append(
                DecoderStep(spatial_dims, current, skip, skip, EXPANSION, attention=channel_attention)
            )
            current = skip
        self.decoder.append(DecoderStep(spatial_dims, current, 0, current, 1, attention=channel_attention))
        self.out = CONVOLUTION[spatial_dims](current, out_channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, in_channels, *S) -> (B, out_channels, *S)."""
        check_image(
            image,
            "mobile_unet",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
        )
        skips: list[Tensor] = []
        x = image
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in SKIPS:
                skips.append(x)
        for step in self.decoder:
            x = step(x, skips.pop() if skips else None)
        return self.out(x)

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, None), in forward order."""
        deepest = sum(blocks for _, _, blocks, _ in TABLE)
        table: dict[str, Stage] = {
            f"encoder/{stride}": (self.features[i], None) for i, stride in SKIPS.items()
        }
        if len(self.features) - 1 > deepest:
            table["encoder/32/stage"] = (self.features[deepest], None)
        table["encoder/32"] = (self.features[-1], None)
        table |= {f"decoder/{16 >> i}": (step, None) for i, step in enumerate(self.decoder)}
        return table | {"logits": (self.out, None)}


class InvertedResidual(nn.Module):
    """1-wide convolution to `expansion` times the channels, depthwise convolution, linear 1-wide convolution.

    The input is added where it has the shape of the output. Names are torchvision's.
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, out_channels: int, expansion: int, stride: int = 1
    ) -> None:
        super().__init__()
        hidden = expansion * in_channels
        self.residual = stride == 1 and in_channels == out_channels
        expand = [convolution(spatial_dims, in_channels, hidden, 1)] if expansion > 1 else []
        self.conv = nn.Sequential(
            *expand,
            convolution(spatial_dims, hidden, hidden, 3, stride=stride, groups=hidden),
            CONVOLUTION[spatial_dims](hidden, out_channels, 1, bias=False),
            BATCH_NORM[spatial_dims](out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class DecoderStep(nn.Module):
    """Twice the size, then the skip if there is one, channel attention, and an inverted residual block."""

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        skip_channels: int,
        out_channels: int,
        expansion: int,
        *,
        attention: bool,
    ) -> None:
        super().__init__()
        both = out_channels + skip_channels
        self.up = TRANSPOSED[spatial_dims](in_channels, out_channels, 2, stride=2)
        self.attention = ChannelSELayer(spatial_dims, both, r=REDUCTION) if attention else nn.Identity()
        self.block = InvertedResidual(spatial_dims, both, out_channels, expansion)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        x = self.up(x)
        if skip is not None:
            x = cat([x, skip], dim=1)
        return self.block(self.attention(x))


def convolution(
    spatial_dims: int, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution (no bias), batch norm, ReLU6."""
    return nn.Sequential(
        CONVOLUTION[spatial_dims](
            in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False
        ),
        BATCH_NORM[spatial_dims](out_channels),
        nn.ReLU6(inplace=True),
    )


def rounded(channels: float) -> int:
    """The nearest multiple of 8, at least 8, and never more than a tenth below `channels`."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8
