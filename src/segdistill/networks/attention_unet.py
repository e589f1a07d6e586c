"""Attention U-Net: a U-Net whose skips are gated by the map that comes up from below."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from monai.networks.nets.attentionunet import AttentionUnet as MonaiAttentionUnet
from pydantic import Field
from torch import Tensor, cat, nn

from segdistill.networks.blocks import CONVOLUTION
from segdistill.networks.sizes import check_channels, check_image
from segdistill.networks.stages import Stage


class AttentionUNet(nn.Module):
    """Attention U-Net (Oktay et al., MIDL 2018), MONAI's, with named stages.

    Level i works at 1/2^i with `channels[i]` channels: twice [convolution `kernel`, batch norm, ReLU], the first with
    stride 2 below the first level. Going up: a transposed convolution `up_kernel` with stride 2; an additive attention
    gate [1-wide convolutions of skip and upsampled map to half the channels, sum, ReLU, 1-wide convolution to one
    channel, sigmoid] multiplies the skip; both are concatenated and merged by a 3-wide convolution (instance norm,
    PReLU). Sizes: every axis divisible by 2^(len(channels) - 1), more than one voxel left.

    `deep_supervision` gives each decoder level below the first a 1-wide output convolution, as the paper has it and
    MONAI has not; in training mode the network then returns a list of logits, full resolution first.

    MONAI's differs from the paper's: the gate's signal is the map already upsampled, the finest skip is gated too, and
    one convolution merges instead of two. The paper's 3-D network has a quarter of the
    default channels, (16, 32, 64, 128, 256), and 6.40 million parameters; this one has 5,909,130 there for one
    channel and two classes. At the defaults 94,482,930 in 3-D and 31,739,250 in 2-D. `channels` are at least 2, the
    gate has half of them. `dropout` follows each convolution of the encoder and the merge.

    MONAI's parameter names are kept under `network.`.

    Stages: `encoder/1` .. `encoder/<deepest>`; at each level upwards `decoder/<s>/gated`, the skip times its
    attention, and `decoder/<s>`, the merged map; `logits`, with deep supervision `logits/2`, ...
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        channels: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=2, max_length=8)] = (
            64,
            128,
            256,
            512,
            1024,
        ),
        kernel: Literal[3, 5, 7] = 3,
        up_kernel: Literal[3, 5, 7] = 3,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        check_channels("attention_unet", spatial_dims, in_channels, out_channels)
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        levels = len(channels) - 1
        self.divisible_by = 2**levels
        self.network = MonaiAttentionUnet(
            spatial_dims,
            in_channels,
            out_channels,
            channels,
            strides=(2,) * levels,
            kernel_size=kernel,
            up_kernel_size=up_kernel,
            dropout=dropout,
        )
        self.deep_supervision = deep_supervision
        self.heads = nn.ModuleList(
            CONVOLUTION[spatial_dims](width, out_channels, 1)
            for width in (channels[1:-1] if deep_supervision else ())
        )

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """(B, in_channels, *S) -> (B, out_channels, *S); with deep supervision a list in training."""
        check_image(
            image,
            "attention_unet",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
        )
        if not self.deep_supervision:
            return self.network(image)
        block, layer, out = cast(Any, self.network.model)
        maps = climb(layer, block(image))
        logits = [out(maps[-1]), *(head(x) for head, x in zip(self.heads, maps[-2::-1], strict=True))]
        return logits if self.training else logits[0]

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, None), in forward order."""
        block, layer, out = cast(Any, self.network.model)
        encoder: dict[str, Stage] = {"encoder/1": (block, None)}
        decoder: dict[str, Stage] = {}
        stride = 1
        while layer is not None:
            gated: Stage = (layer.attention, None)
            decoder = {f"decoder/{stride}/gated": gated, f"decoder/{stride}": (layer.merge, None), **decoder}
            stride *= 2
            block, layer = below(layer)
            encoder[f"encoder/{stride}"] = (block, None)
        heads = {f"logits/{2 << i}": (head, None) for i, head in enumerate(self.heads)}
        return encoder | decoder | {"logits": (out, None)} | heads


def below(layer: Any) -> tuple[nn.Module, Any]:
    """The encoder block of the level below MONAI's AttentionLayer, and the layer there; None at the deepest level."""
    inner = layer.submodule
    return (inner[0], inner[1]) if isinstance(inner, nn.Sequential) else (inner, None)


def climb(layer: Any, x: Tensor) -> list[Tensor]:
    """The decoder's maps from the deepest level up to that of a layer: MONAI's forward pass, keeping them all."""
    block, deeper = below(layer)
    down = block(x)
    maps = [] if deeper is None else climb(deeper, down)
    up = layer.upconv(maps[-1] if maps else down)
    return [*maps, layer.merge(cat((layer.attention(g=up, x=x), up), dim=1))]
