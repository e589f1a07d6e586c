"""nnU-Net's plain U-Net."""

from __future__ import annotations

from torch import Tensor, nn

from segdistill.networks.blocks.nnunet import Convolutions, Decoder, Encoder, initialize, stages_of
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


class NNUNetPlain(nn.Module):
    """nnU-Net's U-Net (Isensee et al., Nature Methods 2021), in nnU-Net v2 the class PlainConvUNet.

    Level i has `n_conv_per_stage` times [convolution, instance norm (affine), leaky ReLU 0.01] at width
    `features_per_stage[i]` with `kernel_sizes[i]`, its first convolution with `strides[i]`. Going up, a transposed
    convolution as wide as its stride, the concatenated skip, and `n_conv_per_stage_decoder` convolutions (its first
    entry is the deepest level's). A 1-wide convolution makes logits of every decoder level.

    Settings have the names and the form of `architecture.arch_kwargs` in a plans.json: a kernel or a stride is one
    number or one for each axis, a number of convolutions one for all levels or one for each. Sizes: along each axis
    divisible by the product of its strides, more than one voxel left.

    The names of the weights are nnU-Net's, so `network_weights` of its checkpoints load as they are. Some modules
    stand under two names there, and so in `state_dict()`; `parameters()` gives each once. With `deep_supervision` the
    network returns in training mode a list of all levels' logits, full resolution first (nnU-Net's loss gives the
    last, the coarsest, no weight). Without it the output convolutions of the other levels are there all the same,
    and get no gradient.

    In thop's convention the numbers are far too large (as thop's own are), since it counts a module once for each name.

    The defaults are those of a 3-D plan for a patch of 128^3: for one channel and 14 classes 31,205,254 parameters,
    201.67e9 multiply-adds at 96^3 (201.80e9 with the output convolutions of deep supervision). 2-D plans are wider
    below, e.g. 32, 64, 128, 256, 512, 512, 512, 512 for 512 x 512.

    Stages: `encoder/1` .. `encoder/<deepest>`, `decoder/<..>` .. `decoder/1`, `logits`, with deep supervision
    `logits/2`, ... A level's stride is the largest of its axes' strides; of two levels with the same, the last to
    run has the bare name and the other `encoder/4/stage2` with its level's number.
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
        n_conv_per_stage: Positive | Counts = 2,
        n_conv_per_stage_decoder: Positive | Counts = 2,
        conv_bias: bool = True,
        deep_supervision: bool = True,
    ) -> None:
        super().__init__()
        check_channels("nnunet_plain", spatial_dims, in_channels, out_channels)
        topology = Topology.of(
            "nnunet_plain", spatial_dims, features_per_stage, kernel_sizes, strides, bias=conv_bias
        )
        levels = len(features_per_stage)
        down = topology.counts("nnunet_plain", "n_conv_per_stage", n_conv_per_stage, levels)
        up = topology.counts("nnunet_plain", "n_conv_per_stage_decoder", n_conv_per_stage_decoder, levels - 1)
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.deep_supervision, self.topology = deep_supervision, topology
        self.divisible_by = multiple_of(strides)
        inputs = (in_channels, *features_per_stage[:-1])
        self.encoder = Encoder(
            [
                nn.Sequential(Convolutions(topology, i, down[i], inputs[i], stride=topology.strides[i]))
                for i in range(levels)
            ]
        )
        self.decoder = Decoder(self.encoder, topology, up, out_channels, deep_supervision)
        initialize(self)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """(B, in_channels, *S) -> (B, out_channels, *S); with deep supervision a list in training."""
        check_image(
            image,
            "nnunet_plain",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
        )
        logits = self.decoder(self.encoder(image))
        return logits if self.deep_supervision and self.training else logits[0]

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, None), in forward order."""
        return stages_of(self.topology, self.encoder, self.decoder)
