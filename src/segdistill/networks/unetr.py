"""UNETR: a Vision Transformer encoder with a convolutional decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from monai.networks.nets.unetr import UNETR as MonaiUNETR
from pydantic import Field
from torch import Tensor, nn

from segdistill.networks.sizes import check_channels, check_image, check_size
from segdistill.networks.stages import Stage


class UNETR(nn.Module):
    """UNETR (Hatamizadeh et al., WACV 2022), MONAI's, with named stages; defaults are the paper's.

    Twelve Transformer layers on 16-wide patches; the hidden states 3, 6 and 9 are projected up to 1/2, 1/4
    and 1/8 with 2, 4 and 8 times `feature_size` channels, the last state stays at 1/16 with `hidden_size`.
    The position embedding fixes the image size at construction: `image_size`, every axis divisible by 16.
    `hidden_size` must be divisible by `heads`. MONAI keeps a cross-attention norm in each layer that is never
    used: 2 x 12 x `hidden_size` parameters get no gradient.

    Stages: `encoder/1`, `/2`, `/4`, `/8` the projected maps, `encoder/16` the Transformer's output as a map;
    `decoder/8` .. `decoder/1`; `logits`.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        image_size: Sequence[int],
        *,
        feature_size: Annotated[int, Field(ge=1)] = 16,
        hidden_size: Annotated[int, Field(ge=1)] = 768,
        mlp_size: Annotated[int, Field(ge=1)] = 3072,
        heads: Annotated[int, Field(ge=1)] = 12,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        check_channels("unetr", spatial_dims, in_channels, out_channels)
        check_size(image_size, "unetr", 16, spatial_dims)
        if hidden_size % heads:
            raise ValueError(f"unetr: hidden_size ({hidden_size}) must be divisible by heads ({heads})")
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.image_size = tuple(image_size)
        self.divisible_by = 16
        self.network = MonaiUNETR(
            in_channels=in_channels,
            out_channels=out_channels,
            img_size=self.image_size,
            feature_size=feature_size,
            hidden_size=hidden_size,
            mlp_dim=mlp_size,
            num_heads=heads,
            dropout_rate=dropout,
            spatial_dims=spatial_dims,
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, in_channels, *image_size) -> (B, out_channels, *image_size)."""
        check_image(
            image,
            "unetr",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
            fixed=self.image_size,
        )
        return self.network(image)

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, reading of its output), in forward order."""
        inner = self.network
        grid = tuple(length // 16 for length in self.image_size)

        def tokens_to_map(output: tuple[Tensor, list[Tensor]]) -> Tensor:
            return output[0].transpose(1, 2).unflatten(2, grid)

        return {
            "encoder/16": (inner.vit, tokens_to_map),
            "encoder/1": (inner.encoder1, None),
            "encoder/2": (inner.encoder2, None),
            "encoder/4": (inner.encoder3, None),
            "encoder/8": (inner.encoder4, None),
            "decoder/8": (inner.decoder5, None),
            "decoder/4": (inner.decoder4, None),
            "decoder/2": (inner.decoder3, None),
            "decoder/1": (inner.decoder2, None),
            "logits": (inner.out, None),
        }
