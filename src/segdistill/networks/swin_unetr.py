"""Swin UNETR: Teach-Former's (decoder from 1/16) and MONAI's (decoder from 1/32)."""

from __future__ import annotations

from typing import Annotated, Literal

from monai.networks.blocks import UnetOutBlock, UnetrBasicBlock, UnetrUpBlock
from monai.networks.nets.swin_unetr import SwinTransformer
from pydantic import Field
from torch import Tensor, nn

from segdistill.networks.sizes import check_channels, check_image
from segdistill.networks.stages import Stage

Four = tuple[int, int, int, int]


class SwinUNETR(nn.Module):
    """Swin UNETR (Hatamizadeh et al., 2022) in two variants over MONAI's Swin Transformer and blocks.

    `variant: paper` is what Teach-Former's Table 1 counts (and the same group's Swin-VFTR publishes): the
    bottleneck is a residual block on the map at 1/16, there is no block on the map at 1/8, and sizes need
    only be divisible by 16. The backbone's fourth stage still runs there although nothing uses it:
    `unused_stage: false` drops it (and 0.4 to 1.5 million parameters that never get a gradient). `variant:
    monai` is MONAI's `SwinUNETR`, bottleneck at 1/32, sizes divisible by 32. Parameter names are MONAI's, so
    its checkpoints load into `monai`.

    `feature_size` must be divisible by the first of `heads`. `window` is the attention window.

    Stages: `encoder/1` .. `encoder/16` (monai: `/32`) are the residual blocks that feed the decoder,
    `encoder/8` of the paper's variant the raw map; `encoder/<s>/stage` the backbone's own layer-normalised
    maps; `decoder/8` (monai: `/16`) .. `decoder/1`; `logits`.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        variant: Literal["paper", "monai"] = "paper",
        feature_size: Annotated[int, Field(ge=1)] = 24,
        depths: Four = (2, 2, 2, 2),
        heads: Four = (3, 6, 12, 24),
        window: Annotated[int, Field(ge=2)] = 7,
        unused_stage: bool = True,
    ) -> None:
        super().__init__()
        check_channels("swin_unetr", spatial_dims, in_channels, out_channels)
        if uneven := [h for i, h in enumerate(heads) if feature_size * 2**i % h]:
            raise ValueError(
                f"swin_unetr: stage widths {[feature_size * 2**i for i in range(4)]} must be divisible by "
                f"heads {list(heads)}; {uneven[0]} does not divide its width"
            )
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.variant = variant
        self.divisible_by = 16 if variant == "paper" else 32
        fs = feature_size

        self.swinViT = SwinTransformer(
            in_chans=in_channels,
            embed_dim=fs,
            window_size=(window,) * spatial_dims,
            patch_size=(2,) * spatial_dims,
            depths=depths,
            num_heads=heads,
            spatial_dims=spatial_dims,
        )
        if variant == "paper" and not unused_stage:
            self.swinViT.layers4 = nn.ModuleList([nn.Identity()])

        def block(inputs: int, outputs: int) -> UnetrBasicBlock:
            return UnetrBasicBlock(
                spatial_dims, inputs, outputs, kernel_size=3, stride=1, norm_name="instance", res_block=True
            )

        def up(inputs: int, outputs: int) -> UnetrUpBlock:
            return UnetrUpBlock(
                spatial_dims,
                inputs,
                outputs,
                kernel_size=3,
                upsample_kernel_size=2,
                norm_name="instance",
                res_block=True,
            )

        self.encoder1 = block(in_channels, fs)
        self.encoder2 = block(fs, fs)
        self.encoder3 = block(2 * fs, 2 * fs)
        if variant == "monai":
            self.encoder4 = block(4 * fs, 4 * fs)
            self.encoder10 = block(16 * fs, 16 * fs)
            self.decoder5 = up(16 * fs, 8 * fs)
        else:
            self.encoder10 = block(8 * fs, 8 * fs)
        self.decoder4 = up(8 * fs, 4 * fs)
        self.decoder3 = up(4 * fs, 2 * fs)
        self.decoder2 = up(2 * fs, fs)
        self.decoder1 = up(fs, fs)
        self.out = UnetOutBlock(spatial_dims, fs, out_channels)

    def forward(self, image: Tensor) -> Tensor:
        """(B, in_channels, *S) -> (B, out_channels, *S)."""
        check_image(
            image,
            f"swin_unetr (variant {self.variant})",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
        )
        half, quarter, eighth, sixteenth, deepest = self.swinViT(image)
        skips = [self.encoder1(image), self.encoder2(half), self.encoder3(quarter)]
        if self.variant == "monai":
            skips.append(self.encoder4(eighth))
            x = self.decoder5(self.encoder10(deepest), sixteenth)
        else:
            skips.append(eighth)
            x = self.encoder10(sixteenth)
        for decoder in (self.decoder4, self.decoder3, self.decoder2, self.decoder1):
            x = decoder(x, skips.pop())
        return self.out(x)

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, reading of its output), in forward order."""

        def raw(index: int) -> Stage:
            return self.swinViT, lambda maps: maps[index]

        monai = self.variant == "monai"
        table: dict[str, Stage] = {f"encoder/{2 << i}/stage": raw(i) for i in range(5 if monai else 4)}
        table |= {"encoder/1": (self.encoder1, None), "encoder/2": (self.encoder2, None)}
        table["encoder/4"] = (self.encoder3, None)
        if monai:
            table |= {
                "encoder/8": (self.encoder4, None),
                "encoder/16": raw(3),
                "encoder/32": (self.encoder10, None),
            }
            table["decoder/16"] = (self.decoder5, None)
        else:
            table |= {"encoder/8": raw(2), "encoder/16": (self.encoder10, None)}
        table |= {"decoder/8": (self.decoder4, None), "decoder/4": (self.decoder3, None)}
        table |= {
            "decoder/2": (self.decoder2, None),
            "decoder/1": (self.decoder1, None),
            "logits": (self.out, None),
        }
        return table
