"""TransUNet: a Vision Transformer on a ResNet's deepest map, with a convolutional decoder."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import Tensor, cat, nn

from segdistill.networks.blocks import BATCH_NORM, CONVOLUTION, LINEAR_MODE
from segdistill.networks.blocks.standardised_resnet import StandardisedResNet
from segdistill.networks.blocks.token_transformer import TokenTransformer
from segdistill.networks.sizes import check_channels, check_image, check_size
from segdistill.networks.stages import Stage

Count = Annotated[int, Field(ge=1)]
STRIDE = 16


class TransUNet(nn.Module):
    """TransUNet (Chen et al., 2021, arXiv:2102.04306), R50-ViT-B/16; the paper has 2-D, 3-D is the same in 3-D.

    A hybrid encoder: the first three stages of a ResNet-50 with weight-standardised convolutions and group norm
    (`units` bottleneck units, `filters` * (4, 8, 16) channels at 1/4, 1/8, 1/16), a 1-wide convolution to
    `hidden_size`, learned positions and `layers` Transformer layers with a layer norm after them. The cascaded
    upsampler: a convolution to the first of `decoder_channels` at 1/16, then four times [linear upsampling by 2,
    corners aligned, the skip concatenated, twice convolution 3, batch norm, ReLU]; the last step has no skip. The
    output is a 3-wide convolution.

    The positions fix the image size at construction: `image_size`, every axis divisible by 16, more than one voxel
    left. `hidden_size` must be divisible by `heads`. An image of one channel is repeated to three, the stem's width
    in photographs; of several channels each goes into the stem as it is. No ImageNet weights come with the network.

    The defaults are the paper's: 105,277,081 parameters for one or three channels and nine classes in 2-D at 224 x
    224, as in the authors' code ("105.28 M"), 29.23e9 multiply-adds. In thop's convention 93.23 M, as thop does not
    know the standardised convolutions, and 24.71 G; 24.73 G with attention's softmax, which the authors' code has as
    a module.

    Stages: `encoder/2` the stem, `encoder/4` and `encoder/8` the first two stages (at 1/4 with the row of zeros that
    the skip has), `encoder/16/resnet` the third, `encoder/16` the Transformer's output as a map; `decoder/16` ..
    `decoder/1`; `logits`.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        image_size: Sequence[int],
        *,
        filters: Count = 64,
        units: tuple[Count, Count, Count] = (3, 4, 9),
        hidden_size: Count = 768,
        mlp_size: Count = 3072,
        heads: Count = 12,
        layers: Count = 12,
        decoder_channels: tuple[Count, Count, Count, Count, Count] = (512, 256, 128, 64, 16),
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    ) -> None:
        super().__init__()
        check_channels("transunet", spatial_dims, in_channels, out_channels)
        check_size(image_size, "transunet", STRIDE, spatial_dims)
        if hidden_size % heads:
            raise ValueError(f"transunet: hidden_size ({hidden_size}) must be divisible by heads ({heads})")
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.image_size = tuple(image_size)
        self.divisible_by = STRIDE
        convolution = CONVOLUTION[spatial_dims]
        self.resnet = StandardisedResNet(
            spatial_dims, 3 if in_channels == 1 else in_channels, filters=filters, units=units
        )
        self.embedding = convolution(16 * filters, hidden_size, 1)
        self.transformer = TokenTransformer(
            [length // STRIDE for length in image_size],
            hidden_size,
            layers=layers,
            heads=heads,
            mlp_size=mlp_size,
            bias=True,
            dropout=dropout,
            attention_dropout=0.0,
            final_norm=True,
            eps=1e-6,
        )

        def unit(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(
                convolution(inputs, outputs, 3, padding=1, bias=False),
                BATCH_NORM[spatial_dims](outputs),
                nn.ReLU(inplace=True),
            )

        self.narrow = unit(hidden_size, decoder_channels[0])
        self.up = nn.Upsample(scale_factor=2, mode=LINEAR_MODE[spatial_dims], align_corners=True)
        skips = [8 * filters, 4 * filters, filters, 0]
        self.decoder = nn.ModuleList(
            nn.Sequential(unit(a + skip, b), unit(b, b))
            for (a, b), skip in zip(pairwise(decoder_channels), skips, strict=True)
        )
        self.out = convolution(decoder_channels[-1], out_channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, in_channels, *image_size) -> (B, out_channels, *image_size)."""
        check_image(
            image,
            "transunet",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
            fixed=self.image_size,
        )
        if self.in_channels == 1:
            image = image.expand(-1, 3, *image.shape[2:])
        x, skips = self.resnet(image)
        x = self.narrow(self.transformer(self.embedding(x)))
        *with_skip, last = self.decoder
        for level, skip in zip(with_skip, skips, strict=True):
            x = level(cat([self.up(x), skip], dim=1))
        return self.out(last(self.up(x)))

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, None), in forward order."""
        table = self.resnet.stages() | {
            "encoder/16": (self.transformer, None),
            "decoder/16": (self.narrow, None),
        }
        table |= {f"decoder/{8 >> i}": (level, None) for i, level in enumerate(self.decoder)}
        return table | {"logits": (self.out, None)}
