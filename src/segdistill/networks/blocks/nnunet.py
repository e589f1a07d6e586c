"""What nnU-Net's plain and residual U-Nets share: convolution block, encoder, decoder, stages.

Modules are named and nested as nnU-Net nests them, so that the weights of its checkpoints fit. It registers some
modules under two names (a block's layers also in `all_modules`, the encoder also inside the decoder); so do these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, cat, nn

from segdistill.networks.blocks import CONVOLUTION, INSTANCE_NORM, TRANSPOSED
from segdistill.networks.blocks.nnunet_topology import Topology
from segdistill.networks.stages import Stage


class ConvolutionBlock(nn.Module):
    """Convolution, instance norm (affine), leaky ReLU 0.01 unless `activated` is False."""

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        kernel: Sequence[int],
        stride: int | Sequence[int] = 1,
        *,
        bias: bool,
        activated: bool = True,
    ) -> None:
        super().__init__()
        convolution: Any = CONVOLUTION[spatial_dims]  # mypy knows no tuple of 2 or 3 numbers
        self.conv = convolution(
            in_channels,
            out_channels,
            tuple(kernel),
            stride if isinstance(stride, int) else tuple(stride),
            padding=tuple(length // 2 for length in kernel),
            bias=bias,
        )
        self.norm = INSTANCE_NORM[spatial_dims](out_channels, eps=1e-5, affine=True)
        if activated:
            self.nonlin = nn.LeakyReLU(0.01, inplace=True)
        self.all_modules = nn.Sequential(*self.children())

    def forward(self, x: Tensor) -> Tensor:
        return self.all_modules(x)


class Convolutions(nn.Module):
    """`count` convolution blocks, the first with the stride."""

    def __init__(
        self,
        topology: Topology,
        level: int,
        count: int,
        in_channels: int,
        *,
        stride: int | Sequence[int] = 1,
    ) -> None:
        super().__init__()
        width, kernel = topology.features[level], topology.kernels[level]
        self.convs = nn.Sequential(
            *(
                ConvolutionBlock(
                    topology.spatial_dims,
                    width if i else in_channels,
                    width,
                    kernel,
                    1 if i else stride,
                    bias=topology.bias,
                )
                for i in range(count)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.convs(x)


class Encoder(nn.Module):
    """The levels one after another, all their maps kept; before them, in the residual network, a stem."""

    def __init__(self, stages: Sequence[nn.Module], stem: nn.Module | None = None) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.Sequential(*stages)

    def forward(self, image: Tensor) -> list[Tensor]:
        """The map of each level, full resolution first."""
        x = image if self.stem is None else self.stem(image)
        skips = []
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        return skips


class Decoder(nn.Module):
    """From the deepest level up: transposed convolution, concatenated skip, convolutions, output convolution.

    As in nnU-Net every level has an output convolution (`seg_layers`), also without deep supervision.
    """

    def __init__(
        self,
        encoder: Encoder,
        topology: Topology,
        counts: Sequence[int],
        out_channels: int,
        deep_supervision: bool,
    ) -> None:
        super().__init__()
        self.deep_supervision = deep_supervision
        self.encoder = encoder  # not run here; nnU-Net's checkpoints hold it under this name too
        dims, features = topology.spatial_dims, topology.features
        transposed: Any = TRANSPOSED[dims]
        levels = range(len(features) - 2, -1, -1)
        self.stages = nn.ModuleList(
            Convolutions(topology, level, count, 2 * features[level])
            for level, count in zip(levels, counts, strict=True)
        )
        self.transpconvs = nn.ModuleList(
            transposed(features[level + 1], features[level], stride, stride, bias=topology.bias)
            for level in levels
            for stride in [topology.strides[level + 1]]
        )
        self.seg_layers = nn.ModuleList(CONVOLUTION[dims](features[i], out_channels, 1) for i in levels)

    def forward(self, skips: Sequence[Tensor]) -> list[Tensor]:
        """Logits, full resolution first; all of them with deep supervision, else that one."""
        x = skips[-1]
        maps = []
        for up, stage, skip in zip(self.transpconvs, self.stages, skips[-2::-1], strict=True):
            x = stage(cat([up(x), skip], dim=1))
            maps.append(x)
        if not self.deep_supervision:
            return [self.seg_layers[-1](x)]
        return [head(x) for head, x in zip(self.seg_layers, maps, strict=True)][::-1]


def stages_of(topology: Topology, encoder: Encoder, decoder: Decoder) -> dict[str, Stage]:
    """Stage name -> (module, None), in forward order."""
    table: dict[str, Stage] = {}
    if encoder.stem is not None:
        table["encoder/1/stem"] = (encoder.stem, None)
    for name, stage in zip(topology.names("encoder"), encoder.stages, strict=True):
        table[name] = (stage, None)
    for name, stage in zip(topology.names("decoder")[-2::-1], decoder.stages, strict=True):
        table[name] = (stage, None)
    *others, last = zip(topology.names("logits")[-2::-1], decoder.seg_layers, strict=True)
    if decoder.deep_supervision:
        table |= {name: (head, None) for name, head in others}
    return table | {"logits": (last[1], None)}


def initialize(network: nn.Module) -> None:
    """nnU-Net's start: normal weights after He et al. for leaky ReLU 0.01, biases 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.kaiming_normal_(layer.weight, a=0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
