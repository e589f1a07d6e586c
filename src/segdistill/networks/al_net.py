"""AL-Net: a re-parameterised encoder, a light pyramid of dilated convolutions, and a thin decoder."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from monai.networks.blocks import ChannelSELayer
from pydantic import Field
from torch import Tensor, cat, nn
from torch.nn.functional import interpolate

from segdistill.networks.blocks import BATCH_NORM, CONVOLUTION, LINEAR_MODE
from segdistill.networks.blocks.rep_vgg import RepBlock, rep_vgg, reparameterised
from segdistill.networks.sizes import check_channels, check_image
from segdistill.networks.stages import Stage

Width = Annotated[int, Field(ge=1)]
REDUCTION = 4  # of the channels, inside squeeze-and-excitation


class ALNet(nn.Module):
    """AL-Net (Du et al., Frontiers in Signal Processing 2022), rebuilt from what its abstract says.

    From the paper: the encoder is RepVGG-A1 (Ding et al., CVPR 2021) with reduced channels; a light atrous spatial
    pyramid pooling module with attention reads the context; an asymmetric decoder drops redundant features and uses
    low-level ones; the blocks are re-parameterised at inference. Its layer list and table of sizes were not at hand:
    the widths, rates and decoder below are ours, and its published parameter count is not claimed. The paper has 2-D;
    3-D is the same with 3-D operations.

    Encoder: stages of RepVGG blocks at 1/2 .. 1/32 with `channels` channels and `depths` blocks; RepVGG-A1 has
    (64, 64, 128, 256, 1280), here 512 in its last stage. Context at 1/32: a 1-wide convolution, separable convolutions
    3 dilated by each of the `rates`, and the map's mean, side by side, then a 1-wide convolution to `decoder_channels`
    and squeeze-and-excitation (Hu et al., CVPR 2018). A decoder step doubles the size linearly, adds the encoder's map
    reduced to `decoder_channels` by a 1-wide convolution, and applies one RepVGG block. The last is at 1/2; a 1-wide
    convolution to the classes is upsampled linearly. Sizes: every axis divisible by 32, more than one voxel left.

    `reparameterised()` gives the network for inference: the same answers, one convolution for three branches. For three
    channels and one class in 2-D: 11,244,881 parameters and 4.30e9 multiply-adds at 256 x 256 in training, 10,123,729
    and 3.88e9 re-parameterised. RepVGG-A1's own size is met by its channels: the encoder has 14.09e6 parameters in
    training and 12.79e6 re-parameterised, with its classifier for 1000 classes. Parameter names of the encoder are
    RepVGG's, but `dense.0`, `dense.1`, `pointwise.0`, `pointwise.1`, `identity` for its `rbr_dense.conv`,
    `rbr_dense.bn`, `rbr_1x1.conv`, `rbr_1x1.bn`, `rbr_identity`, and `stage0.0` for `stage0`.

    Stages: `encoder/2` .. `encoder/16` stages 0 to 3 of the encoder, `encoder/32/stage` its last, `encoder/32` the
    context module; `decoder/16` .. `decoder/2` the decoder steps, `decoder/1` the last of them upsampled linearly, made
    only where asked for; `logits`.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        channels: tuple[Width, Width, Width, Width, Width] = (64, 64, 128, 256, 512),
        depths: tuple[Width, Width, Width, Width, Width] = (1, 2, 4, 14, 1),
        decoder_channels: Annotated[int, Field(ge=REDUCTION)] = 64,
        rates: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)] = (2, 4, 6),
    ) -> None:
        super().__init__()
        check_channels("al_net", spatial_dims, in_channels, out_channels)
        if decoder_channels < REDUCTION:
            raise ValueError(
                f"al_net: decoder_channels ({decoder_channels}) must be at least {REDUCTION}, by which "
                "squeeze-and-excitation divides them"
            )
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.divisible_by = 32
        self.encoder = rep_vgg(spatial_dims, in_channels, channels, depths)
        self.context = ContextPyramid(spatial_dims, channels[-1], decoder_channels, rates)
        self.decoder = nn.ModuleList(
            DecoderStep(spatial_dims, skip, decoder_channels) for skip in channels[-2::-1]
        )
        self.out = CONVOLUTION[spatial_dims](decoder_channels, out_channels, 1)
        self.up = nn.Upsample(scale_factor=2, mode=LINEAR_MODE[spatial_dims], align_corners=False)

    def forward(self, image: Tensor) -> Tensor:
        """(B, in_channels, *S) -> (B, out_channels, *S)."""
        check_image(
            image,
            "al_net",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
        )
        maps: list[Tensor] = []
        x = image
        for stage in self.encoder.values():
            x = stage(x)
            maps.append(x)
        x = self.context(maps.pop())
        for step in self.decoder:
            x = step(x, maps.pop())
        return self.up(self.out(x))  # a 1-wide convolution and linear upsampling may change places

    def reparameterised(self) -> ALNet:
        """A copy for inference with equal answers in evaluation mode and fewer parameters."""
        return reparameterised(self)

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, how its output is read), in forward order."""
        *shallow, deepest = self.encoder.values()
        table: dict[str, Stage] = {f"encoder/{2 << i}": (stage, None) for i, stage in enumerate(shallow)}
        table |= {"encoder/32/stage": (deepest, None), "encoder/32": (self.context, None)}
        table |= {f"decoder/{16 >> i}": (step, None) for i, step in enumerate(self.decoder)}
        full_size = partial(
            interpolate, scale_factor=2, mode=LINEAR_MODE[self.spatial_dims], align_corners=False
        )
        return table | {"decoder/1": (self.decoder[-1], full_size), "logits": (self.up, None)}


class ContextPyramid(nn.Module):
    """Light atrous spatial pyramid pooling: views of different reach, side by side, then weighed by channel."""

    def __init__(
        self, spatial_dims: int, in_channels: int, out_channels: int, rates: tuple[int, ...]
    ) -> None:
        super().__init__()
        conv, norm = CONVOLUTION[spatial_dims], BATCH_NORM[spatial_dims]

        def pointwise(inputs: int) -> list[nn.Module]:
            return [conv(inputs, out_channels, 1, bias=False), norm(out_channels), nn.ReLU(inplace=True)]

        def separable(rate: int) -> nn.Sequential:
            wide = conv(
                in_channels, in_channels, 3, padding=rate, dilation=rate, groups=in_channels, bias=False
            )
            return nn.Sequential(wide, norm(in_channels), nn.ReLU(inplace=True), *pointwise(in_channels))

        self.views = nn.ModuleList(
            [nn.Sequential(*pointwise(in_channels)), *(separable(rate) for rate in rates)]
        )
        # No norm: the mean is one voxel, and batch norm of one voxel of one image is undefined.
        self.mean = nn.Sequential(conv(in_channels, out_channels, 1), nn.ReLU(inplace=True))
        self.join = nn.Sequential(*pointwise((len(rates) + 2) * out_channels))
        self.attention = ChannelSELayer(spatial_dims, out_channels, r=REDUCTION)

    def forward(self, x: Tensor) -> Tensor:
        views = [view(x) for view in self.views]
        space = tuple(range(2, x.ndim))
        mean = self.mean(x.mean(space, keepdim=True)).expand_as(views[0])
        return self.attention(self.join(cat([*views, mean], dim=1)))


class DecoderStep(nn.Module):
    """Twice the size, plus the encoder's map reduced to the same channels, then one RepVGG block."""

    def __init__(self, spatial_dims: int, skip_channels: int, width: int) -> None:
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode=LINEAR_MODE[spatial_dims], align_corners=False)
        self.reduce = nn.Sequential(
            CONVOLUTION[spatial_dims](skip_channels, width, 1, bias=False),
            BATCH_NORM[spatial_dims](width),
            nn.ReLU(inplace=True),
        )
        self.block = RepBlock(spatial_dims, width, width)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.block(self.up(x) + self.reduce(skip))
