"""UNet++: a U-Net whose skips are filled with nodes that fuse every level with the one below."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, cat, nn

from segdistill.networks.blocks import BATCH_NORM, CONVOLUTION, LINEAR_MODE, MAX_POOL
from segdistill.networks.sizes import check_channels, check_image
from segdistill.networks.stages import Stage

LEVELS = 5
# (level, column) of the nodes in forward order: x00, x10, x01, x20, x11, x02, ..., x40, x31, x22, x13, x04.
NODES = [(level, total - level) for total in range(LEVELS) for level in range(total, -1, -1)]
HLFD_ENCODER = {"x11"}  # of the nodes right of column 0, the one that HLFD counts to the encoder (its e3)


class UNetPlusPlus(nn.Module):
    """UNet++ (Zhou et al., DLMIA 2018) as HLFD's teacher has it: five levels, batch norm, linear upsampling.

    Node x<i><j> works at 1/2^i with `filters` * 2^i channels: twice [convolution 3 with bias, batch norm, ReLU] on
    x<i-1>0 after max-pooling (j = 0), or on the concatenation of x<i>0 .. x<i><j-1> and x<i+1><j-1> upsampled by 2,
    linearly, corners aligned (j > 0; Eq. 1). The output is a 1-wide convolution of x04. Sizes: every axis divisible
    by 16, more than one voxel left. The defaults are HLFD's: 36,628,546 parameters for one channel and two classes in
    2-D, 309.95e9 multiply-adds at 384 x 384.

    `deep_supervision` gives x03, x02 and x01 outputs of their own; in training mode the network then returns a list
    of logits in the order x04, x03, x02, x01, all at full resolution.

    Stages: every node by its name: `encoder/1/x00`, `encoder/2/x10`, `encoder/2/x11`, `encoder/4/x20`,
    `encoder/8/x30`, `encoder/16/x40`; `decoder/1/x01` .. `decoder/1/x04`, `decoder/2/x12`, `decoder/2/x13`,
    `decoder/4/x21`, `decoder/4/x22`, `decoder/8/x31`. A name without a node is the last of its side and stride:
    `encoder/2` is x11 (x11 is on the encoder's side, where HLFD has it), `encoder/1` x00, `encoder/4` x20,
    `encoder/8` x30, `encoder/16` x40, `decoder/8` x31, `decoder/4` x22, `decoder/2` x13, `decoder/1` x04. `logits`.
    HLFD's e1 .. e5 are x10, x20, x11, x30, x40; its d5 .. d2 are x01, x02, x03, x13.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        filters: Annotated[int, Field(ge=1)] = 64,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        check_channels("unet_plus_plus", spatial_dims, in_channels, out_channels)
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.deep_supervision = deep_supervision
        self.divisible_by = 2 ** (LEVELS - 1)
        widths = [filters * 2**level for level in range(LEVELS)]

        def node(level: int, column: int) -> nn.Sequential:
            if column:
                inputs = column * widths[level] + widths[level + 1]
            else:
                inputs = widths[level - 1] if level else in_channels
            layers: list[nn.Module] = []
            for width in (inputs, widths[level]):
                layers += [
                    CONVOLUTION[spatial_dims](width, widths[level], 3, padding=1),
                    BATCH_NORM[spatial_dims](widths[level]),
                    nn.ReLU(inplace=True),
                ]
            return nn.Sequential(*layers)

        self.pool = MAX_POOL[spatial_dims](2)
        self.up = nn.Upsample(scale_factor=2, mode=LINEAR_MODE[spatial_dims], align_corners=True)
        self.nodes = nn.ModuleDict({name_of(*place): node(*place) for place in NODES})
        self.heads = nn.ModuleList(
            CONVOLUTION[spatial_dims](filters, out_channels, 1)
            for _ in range(LEVELS - 1 if deep_supervision else 1)
        )

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """(B, in_channels, *S) -> (B, out_channels, *S); with deep supervision a list in training."""
        check_image(
            image,
            "unet_plus_plus",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
        )
        rows: list[list[Tensor]] = [[] for _ in range(LEVELS)]  # the maps of each level, by column
        for level, column in NODES:
            if column:
                x = cat([*rows[level], self.up(rows[level + 1][-1])], dim=1)
            else:
                x = self.pool(rows[level - 1][0]) if level else image
            rows[level].append(self.nodes[name_of(level, column)](x))
        if self.deep_supervision and self.training:
            return [head(x) for head, x in zip(self.heads, reversed(rows[0][1:]), strict=True)]
        return self.heads[0](rows[0][-1])

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, None), in forward order."""
        table: dict[str, Stage] = {}
        for level, column in NODES:
            name = name_of(level, column)
            side = "encoder" if column == 0 or name in HLFD_ENCODER else "decoder"
            bare = f"{side}/{2**level}"
            table.pop(bare, None)  # a later node takes the bare name, and its place in the order
            table[f"{bare}/{name}"] = table[bare] = (self.nodes[name], None)
        return table | {"logits": (self.heads[0], None)}


def name_of(level: int, column: int) -> str:
    """The paper's name of a node, X^(i,j), as `x<i><j>`."""
    return f"x{level}{column}"
