"""nnU-Net's U-Net with a residual encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from segdistill.networks.blocks import AVERAGE_POOL
from segdistill.networks.blocks.nnunet import (
    ConvolutionBlock,
    Convolutions,
    Decoder,
    Encoder,
    initialize,
    stages_of,
)
from segdistill.networks.blocks.nnunet_topology import (
    Counts,
    Features,
    Levels,
    Positive,
    Topology,
    multiple_of,
)
from segdistill.networks.sizes import check_channels, check_image
from segdistill.networks.stages import Stage


class ResidualBlock(nn.Module):
    """ResNet-D's basic block: two convolutions; where the size changes, the shortcut is an average pool."""

    def __init__(self, topology: Topology, level: int, in_channels: int, stride: Sequence[int]) -> None:
        super().__init__()
        dims, width, kernel = topology.spatial_dims, topology.features[level], topology.kernels[level]
        self.conv1 = ConvolutionBlock(dims, in_channels, width, kernel, stride, bias=topology.bias)
        self.conv2 = ConvolutionBlock(dims, width, width, kernel, bias=topology.bias, activated=False)
        self.nonlin2 = nn.LeakyReLU(0.01, inplace=True)
        pool: Any = AVERAGE_POOL[dims]  # mypy knows no tuple of 2 or 3 numbers
        skip: list[nn.Module] = []
        if max(stride) > 1:
            skip.append(pool(stride, stride))
        if in_channels != width:
            skip.append(ConvolutionBlock(dims, in_channels, width, (1,) * dims, bias=False, activated=False))
        self.skip = nn.Sequential(*skip)

    def forward(self, x: Tensor) -> Tensor:
        return self.nonlin2(self.conv2(self.conv1(x)) + self.skip(x))


class ResidualBlocks(nn.Module):
    """`count` residual blocks, the first with the level's stride."""

    def __init__(self, topology: Topology, level: int, count: int, in_channels: int) -> None:
        super().__init__()
        width, once = topology.features[level], (1,) * topology.spatial_dims
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(
                    topology, level, width if i else in_channels, once if i else topology.strides[level]
                )
                for i in range(count)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class NNUNetResidual(nn.Module):
    """nnU-Net's U-Net with a residual encoder ("ResEnc"; Isensee et al., MICCAI 2024), class ResidualEncoderUNet.

    A stem [convolution, instance norm, leaky ReLU 0.01] at full size, then `n_blocks_per_stage` residual blocks a
    level: two convolutions with instance norm, the first with the stride, leaky ReLU between and after the sum; the
    shortcut is an average pool where the size changes (ResNet-D) and a 1-wide convolution with instance norm where
    the width does. The decoder is the plain network's, with one convolution a level. The last norm of each block
    starts at zero, as nnU-Net starts it.

    Settings, sizes, names of the weights and deep supervision are as in `NNUNetPlain`. nnU-Net's ResEnc M, L and XL
    are all of this topology: their planners differ in the memory they plan for and with it in the patch, and so in
    the number of levels. The defaults (six levels) are the network that nnU-Net's planner measures by, and its
    feature maps take what the planner says: 558,319,104 numbers at 128^3. For one channel and 14 classes 102,359,430
    parameters, 302.99e9 multiply-adds at 96^3 (303.13e9 with the output convolutions of deep supervision).

    Stages: as in `NNUNetPlain`, and `encoder/1/stem`.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        features_per_stage: Features = (32, 64, 128, 256, 320, 320),
        kernel_sizes: Positive | Levels = 3,
        strides: Levels = (1, 2, 2, 2, 2, 2),
        n_blocks_per_stage: Positive | Counts = (1, 3, 4, 6, 6, 6),
        n_conv_per_stage_decoder: Positive | Counts = 1,
        conv_bias: bool = True,
        deep_supervision: bool = True,
    ) -> None:
        super().__init__()
        check_channels("nnunet_residual", spatial_dims, in_channels, out_channels)
        topology = Topology.of(
            "nnunet_residual", spatial_dims, features_per_stage, kernel_sizes, strides, bias=conv_bias
        )
        levels = len(features_per_stage)
        down = topology.counts("nnunet_residual", "n_blocks_per_stage", n_blocks_per_stage, levels)
        up = topology.counts(
            "nnunet_residual", "n_conv_per_stage_decoder", n_conv_per_stage_decoder, levels - 1
        )
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.deep_supervision, self.topology = deep_supervision, topology
        self.divisible_by = multiple_of(strides)
        inputs = (features_per_stage[0], *features_per_stage[:-1])
        self.encoder = Encoder(
            [ResidualBlocks(topology, i, down[i], inputs[i]) for i in range(levels)],
            stem=Convolutions(topology, 0, 1, in_channels),
        )
        self.decoder = Decoder(self.encoder, topology, up, out_channels, deep_supervision)
        initialize(self)
        for block in self.modules():
            if isinstance(block, ResidualBlock):
                nn.init.zeros_(block.conv2.norm.weight)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """(B, in_channels, *S) -> (B, out_channels, *S); with deep supervision a list in training."""
        check_image(
            image,
            "nnunet_residual",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
        )
        logits = self.decoder(self.encoder(image))
        return logits if self.deep_supervision and self.training else logits[0]

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, None), in forward order."""
        return stages_of(self.topology, self.encoder, self.decoder)
