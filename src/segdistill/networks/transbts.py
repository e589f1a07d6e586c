"""TransBTS: a residual U-Net with a Transformer at 1/8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from segdistill.networks.blocks.transformer_bottleneck import STRIDE, TransformerBottleneckUNet, check_widths
from segdistill.networks.sizes import check_channels, check_image, check_size
from segdistill.networks.stages import Stage

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


class TransBTS(nn.Module):
    """TransBTS (Wang et al., MICCAI 2021); the paper has 3-D, 2-D is the same with 2-D operations.

    The encoder has `filters` * (1, 2, 4, 8) channels at 1/1, 1/2, 1/4 and 1/8: at each level a 3-wide convolution
    (with stride 2 from the second on; whole channels dropped after the first, `stem_dropout`) and `blocks` residual
    blocks, pre-activation, group norm of 8 groups (as many as divide the width where it has no eighth). Batch norm,
    ReLU and a convolution embed the map at 1/8 in `hidden_size`; learned positions and `layers` Transformer layers,
    with no norm after the last. Four convolutions (batch norm, ReLU; a residual over the last two) narrow it to a
    quarter. Each step up: convolution 1 to the encoder's width, transposed convolution 2, the skip concatenated,
    convolution 1, a residual block with batch norm. The output is a 1-wide convolution.

    The positions fix the image size at construction: `image_size`, every axis divisible by 8, more than one voxel
    left. `hidden_size` must be divisible by `heads` and by 4. Differing from the authors' code, `stem_dropout` acts
    in training only, and attention's result is dropped once, not twice.

    `unused_layers` keeps two layers that the authors' code has and whose results go nowhere: a layer norm after the
    Transformer (run), and a linear embedding (not run); no gradient reaches `network.unused_*`. With them the
    published sizes are met: 32,987,588 parameters for 4 channels and 4 classes at 128 x 128 x 128 (paper: 32.99 M),
    and in thop's convention 30.624 M and 372.797 G for 2 channels and 2 classes at 144 x 144 x 144 (H-DenseFormer's
    paper: 30.62 M, 372.80 G). Without them: 32,723,908 parameters; 30.623 M and 372.785 G. The paper's 333 G at
    128 x 128 x 128 is not met to the digit: 325.41e9 multiply-adds, or 263.71 G in thop's convention and 332.43 G
    with attention's products added.

    Stages: `encoder/1`, `/2`, `/4` the skips, `encoder/8/residual` the last residual level, `encoder/8` the
    Transformer's output as a map; `decoder/8` that narrowed, `decoder/4` .. `decoder/1`; `logits`.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        image_size: Sequence[int],
        *,
        filters: Count = 16,
        blocks: tuple[Count, Count, Count, Count] = (1, 2, 2, 4),
        hidden_size: Count = 512,
        mlp_size: Count = 4096,
        heads: Count = 8,
        layers: Count = 4,
        dropout: Share = 0.1,
        stem_dropout: Share = 0.2,
        unused_layers: bool = True,
    ) -> None:
        super().__init__()
        check_channels("transbts", spatial_dims, in_channels, out_channels)
        check_size(image_size, "transbts", STRIDE, spatial_dims)
        check_widths("transbts", hidden_size, heads)
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.image_size = tuple(image_size)
        self.divisible_by = STRIDE
        self.network = TransformerBottleneckUNet(
            spatial_dims,
            in_channels,
            out_channels,
            self.image_size,
            filters=filters,
            blocks=blocks,
            hidden_size=hidden_size,
            mlp_size=mlp_size,
            heads=heads,
            layers=layers,
            dropout=dropout,
            stem_dropout=stem_dropout,
            unused_layers=unused_layers,
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, in_channels, *image_size) -> (B, out_channels, *image_size)."""
        check_image(
            image,
            "transbts",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
            fixed=self.image_size,
        )
        return self.network(image)

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, None), in forward order."""
        return self.network.stages()
