"""Swin-Unet: a U-Net of Swin Transformer blocks alone."""

from __future__ import annotations

from typing import Annotated, Any

from monai.networks.blocks import PatchEmbed
from monai.networks.nets.swin_unetr import BasicLayer, PatchMergingV2
from pydantic import Field
from torch import Tensor, cat, nn

from segdistill.networks.blocks import CONVOLUTION
from segdistill.networks.blocks.patch_expand import PatchExpand, channels_first, channels_last
from segdistill.networks.sizes import check_channels, check_image
from segdistill.networks.stages import Stage

PATCH = 4
Positive = Annotated[int, Field(ge=1)]
Four = tuple[Positive, Positive, Positive, Positive]


class SwinUnet(nn.Module):
    """Swin-Unet (Cao et al., ECCV workshops 2022); the paper has 2-D, 3-D is the same with 3-D operations.

    Patch embedding (4-wide patches, layer norm) to `feature_size` channels; four stages of `depths` Swin blocks with
    windows of `window` and shifted windows in turn, patch merging between them, layer norm on the last. The decoder
    mirrors it: three times [patch expanding by 2, concatenated skip, linear layer, Swin blocks], layer norm, patch
    expanding by 4, 1-wide convolution without bias. The skips are the patch embedding and the merged maps, that is
    what goes *into* the encoder's blocks. Blocks are MONAI's: windows that do not fit are padded, and shrink to a side
    that is shorter than they are.

    `feature_size` must be divisible by the first of `heads`. `drop_path` is the rate of stochastic depth in the last
    block of the encoder, from 0 in the first on; each decoder level has the rates of its encoder level. Sizes: every
    axis divisible by 32, more than one voxel left. The defaults are the authors': 27,168,900 parameters for three
    channels and nine classes in 2-D (27,168,420 for four; a single channel they repeat to three, here the embedding is
    built for the channels given), 6.11e9 multiply-adds at 224 x 224.

    Stages: `encoder/4/embed` the patch embedding, `encoder/8/merge` .. `encoder/32/merge` the merged maps; `encoder/4`
    .. `encoder/16` after the blocks, `encoder/32` the normalised last; `decoder/16`, `decoder/8`, `decoder/4` (the
    normalised last), `decoder/1` after the patch expanding by 4; `logits`.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        feature_size: Positive = 96,
        depths: Four = (2, 2, 2, 2),
        heads: Four = (3, 6, 12, 24),
        window: Annotated[int, Field(ge=2)] = 7,
        drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.2,
    ) -> None:
        super().__init__()
        check_channels("swin_unet", spatial_dims, in_channels, out_channels)
        widths = [feature_size * 2**level for level in range(4)]
        if uneven := [h for width, h in zip(widths, heads, strict=True) if width % h]:
            raise ValueError(
                f"swin_unet: stage widths {widths} must be divisible by heads {list(heads)}; "
                f"{uneven[0]} does not divide its width"
            )
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.divisible_by = PATCH * 8
        # MONAI's first PatchMerging takes some of the eight voxels twice in 3-D; in 2-D the two are one.
        merging: Any = PatchMergingV2
        rates = [drop_path * i / max(1, sum(depths) - 1) for i in range(sum(depths))]

        def blocks(level: int, merge: bool) -> BasicLayer:
            first = sum(depths[:level])
            return BasicLayer(
                dim=widths[level],
                depth=depths[level],
                num_heads=heads[level],
                window_size=(window,) * spatial_dims,
                drop_path=rates[first : first + depths[level]],
                qkv_bias=True,
                downsample=merging if merge else None,
            )

        self.embed = PatchEmbed(PATCH, in_channels, feature_size, nn.LayerNorm, spatial_dims)
        self.encoder = nn.ModuleList(blocks(level, merge=level < 3) for level in range(4))
        self.norm = nn.LayerNorm(widths[3])
        levels = (2, 1, 0)
        self.expand = nn.ModuleList(PatchExpand(spatial_dims, 2 * widths[i], widths[i]) for i in levels)
        self.fuse = nn.ModuleList(nn.Linear(2 * widths[i], widths[i]) for i in levels)
        self.decoder = nn.ModuleList(blocks(level, merge=False) for level in levels)
        self.norm_up = nn.LayerNorm(feature_size)
        self.expand_last = PatchExpand(spatial_dims, feature_size, feature_size, factor=PATCH)
        self.out = CONVOLUTION[spatial_dims](feature_size, out_channels, 1, bias=False)
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        """(B, in_channels, *S) -> (B, out_channels, *S)."""
        check_image(
            image,
            "swin_unet",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
        )
        maps = [self.embed(image)]  # what goes into each stage; channels first, as MONAI's layers have it
        for stage in self.encoder:
            maps.append(stage(maps[-1]))
        x = self.norm(channels_last(maps[-1]))
        for expand, fuse, blocks, skip in zip(self.expand, self.fuse, self.decoder, maps[2::-1], strict=True):
            x = fuse(cat([expand(x), channels_last(skip)], dim=-1))
            x = channels_last(blocks(channels_first(x)))
        return self.out(channels_first(self.expand_last(self.norm_up(x))))

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, reading of its output), in forward order."""
        table: dict[str, Stage] = {"encoder/4/embed": (self.embed, None)}
        for level, stage in enumerate(list(self.encoder)[:-1]):
            *_, last = stage.get_submodule("blocks").children()
            table[f"encoder/{PATCH << level}"] = (last, channels_first)
            table[f"encoder/{PATCH << (level + 1)}/merge"] = (stage, None)
        return table | {
            "encoder/32": (self.norm, channels_first),
            "decoder/16": (self.decoder[0], None),
            "decoder/8": (self.decoder[1], None),
            "decoder/4": (self.norm_up, channels_first),
            "decoder/1": (self.expand_last, channels_first),
            "logits": (self.out, None),
        }


def _initialise(module: nn.Module) -> None:
    """Linear layers as in Swin Transformers; all else as torch has it."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
