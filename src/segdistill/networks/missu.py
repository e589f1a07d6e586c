"""MISSU: a small residual U-Net with a Transformer at 1/8, whose encoder teaches its decoder."""

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


class MISSU(nn.Module):
    """MISSU (Wang et al., IEEE Trans. Med. Imaging 42(9), 2023, arXiv:2206.00902).

    The paper has 3-D, 2-D is the same with 2-D operations. TransBTS's structure (see `TransBTS`) with a smaller
    Transformer: `filters` * (1, 2, 4, 8) channels, `blocks` residual blocks at 1/1, 1/2, 1/4 and 1/8, a Transformer
    of `hidden_size` at 1/8. What makes it MISSU is the training: the encoder's skips teach the decoder's maps of the
    same size and width (recipe `missu`). The multi-scale fusion block that the paper puts on the skips in training
    only is neither in the authors' code nor here.

    The published size, 4.24 M parameters and 154.38 G, is not met, and no setting is known that meets it: the
    authors' code lacks parts and its settings (hidden size 512 or 128) give other counts. The defaults are the
    nearest found: two blocks at 1/8 instead of TransBTS's four. For 2 channels and 2 classes at 128 x 128 x 128 that
    is, in thop's convention, 4.407 M and 154.485 G (4,932,674 parameters with the positions, 164.71e9 multiply-adds).
    With four blocks: 6.177 M and 161.732 G at 128 x 128 x 128, 230.279 G at 144 x 144 x 144.

    The positions fix the image size at construction: `image_size`, every axis divisible by 8, more than one voxel
    left. `hidden_size` must be divisible by `heads` and by 4. `dropout` is TransBTS's, as is `stem_dropout`.

    Stages: `encoder/1`, `/2`, `/4` the skips, which teach `decoder/1`, `/2`, `/4`; `encoder/8/residual` the last
    residual level, `encoder/8` the Transformer's output as a map, `decoder/8` that narrowed; `logits`.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        image_size: Sequence[int],
        *,
        filters: Count = 16,
        blocks: tuple[Count, Count, Count, Count] = (1, 2, 2, 2),
        hidden_size: Count = 128,
        mlp_size: Count = 512,
        heads: Count = 4,
        layers: Count = 4,
        dropout: Share = 0.1,
        stem_dropout: Share = 0.2,
    ) -> None:
        super().__init__()
        check_channels("missu", spatial_dims, in_channels, out_channels)
        check_size(image_size, "missu", STRIDE, spatial_dims)
        check_widths("missu", hidden_size, heads)
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
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, in_channels, *image_size) -> (B, out_channels, *image_size)."""
        check_image(
            image,
            "missu",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
            fixed=self.image_size,
        )
        return self.network(image)

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, None), in forward order."""
        return self.network.stages()
