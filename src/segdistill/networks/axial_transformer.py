"""3D Medical Axial Transformer (MAT): a light U-shaped network with attention along each axis in turn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from segdistill.networks.blocks import AVERAGE_POOL, CONVOLUTION, LINEAR_MODE
from segdistill.networks.blocks.axial_attention import AxialAttention
from segdistill.networks.sizes import check_channels, check_image, check_size
from segdistill.networks.stages import Stage

GROUPS = 4  # of the group norms
Depth = Annotated[int, Field(ge=1)]


class AxialTransformer(nn.Module):
    """3D Medical Axial Transformer (Liu and Kiryu, MIDL 2023, PMLR 227:799-813), after the authors' code (`gated_3d`).

    A stem of three convolutions (7 wide with stride 2, then 3 wide to four times `filters` and back; group norm, ReLU)
    and average pooling to 1/4; three stages of `depths` residual blocks at 1/4, 1/8 and 1/16 with 2, 4 and 8 times
    `filters` channels: 1-wide convolution to half the width, gated axial attention along each axis in turn, 1-wide
    convolution back. A strided convolution to 1/32; then at each size up to the full one linear upsampling, ReLU and a
    3-wide convolution that halves the channels, the encoder's map *added* at 1/16, 1/8 and 1/4. The relative positions
    along an axis are learned for its length, which fixes the image size at construction: `image_size`, every axis
    divisible by 32. The paper has 3-D; 2-D is the same with two axes.

    The paper's text was not at hand: the structure is the code's. Ours are the order of the axes (x, y, z; theirs rows,
    columns, slices) and that the gates learn from the first step (theirs after ten epochs). Left out is what the code
    builds but never runs, a fourth stage and its decoder convolution (7,812,828 parameters). We know of no published
    count; at the authors' size, 224 x 224 x 160 with four channels and four classes, the defaults have 4,023,104
    parameters (3,996,324 as thop counts them) and 309.1e9 multiply-adds.

    The code distils from the network's own last mini-batch, not between depths. `deep_supervision` is ours: output
    convolutions at 1/2, 1/4 and 1/8, and in training a list of logits, full resolution first.

    `filters` must be divisible by twice the number of `heads` and by 4: below 16, take fewer heads.

    Stages: `encoder/2` the stem, `encoder/4` .. `encoder/16` the stages, `encoder/32` the strided convolution;
    `decoder/16` .. `decoder/1`, skip added; `logits`, with deep supervision `logits/2`, `logits/4`, `logits/8`.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        image_size: Sequence[int],
        *,
        filters: Annotated[int, Field(ge=4)] = 32,
        depths: tuple[Depth, Depth, Depth] = (1, 2, 4),
        heads: Annotated[int, Field(ge=1)] = 8,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        check_channels("axial_transformer", spatial_dims, in_channels, out_channels)
        check_size(image_size, "axial_transformer", 32, spatial_dims)
        if filters % (2 * heads) or filters % GROUPS:
            raise ValueError(
                f"axial_transformer: filters ({filters}) must be divisible by twice the number of heads "
                f"({2 * heads}) and by {GROUPS}"
            )
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.image_size = tuple(image_size)
        self.divisible_by = 32
        self.deep_supervision = deep_supervision
        convolution = CONVOLUTION[spatial_dims]

        def unit(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
            layer = convolution(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
            return [layer, nn.GroupNorm(GROUPS, outputs), nn.ReLU()]

        self.stem = nn.Sequential(
            *unit(in_channels, filters, 7, 2),
            *unit(filters, 4 * filters, 3, 1),
            *unit(4 * filters, filters, 3, 1),
        )
        self.pool = AVERAGE_POOL[spatial_dims](3, stride=2, padding=1)
        self.encoder = nn.ModuleList()
        width, size = filters, tuple(length // 4 for length in self.image_size)
        for level, depth in enumerate(depths):
            blocks = []
            for i in range(depth):
                stride = 2 if level and not i else 1
                blocks.append(AxialBlock(width, filters << level, heads, size, stride))
                width, size = 2 * filters << level, tuple(length // stride for length in size)
            self.encoder.append(nn.Sequential(*blocks))
        self.down = convolution(width, width, 3, stride=2, padding=1)
        widths = [width >> i for i in range(5)]  # of the decoder's maps from 1/16 to 1/1
        self.decoder = nn.ModuleList([Up(spatial_dims, nn.Identity())])
        self.decoder.extend(Up(spatial_dims, convolution(a, b, 3, padding=1)) for a, b in pairwise(widths))
        headed = widths[:0:-1] if deep_supervision else widths[-1:]  # full resolution first
        self.heads = nn.ModuleList(convolution(width, out_channels, 1) for width in headed)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """(B, in_channels, *image_size) -> (B, out_channels, *image_size); with deep supervision a list in training."""
        check_image(
            image,
            "axial_transformer",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
            fixed=self.image_size,
        )
        x = self.pool(self.stem(image))
        skips: list[Tensor | None] = [None, None]  # at 1/1 and 1/2
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        x = self.down(x)
        maps = []
        for up in self.decoder:
            x = up(x, skips.pop())
            maps.append(x)
        logits = [head(x) for head, x in zip(self.heads, reversed(maps), strict=False)]
        return logits if self.deep_supervision and self.training else logits[0]

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, None), in forward order."""
        table: dict[str, Stage] = {"encoder/2": (self.stem, None)}
        table |= {f"encoder/{4 << i}": (stage, None) for i, stage in enumerate(self.encoder)}
        table["encoder/32"] = (self.down, None)
        table |= {f"decoder/{16 >> i}": (up, None) for i, up in enumerate(self.decoder)}
        return table | {
            f"logits/{1 << i}" if i else "logits": (head, None) for i, head in enumerate(self.heads)
        }


class AxialBlock(nn.Module):
    """ReLU(shortcut + norm(expand(ReLU(attention along each axis(ReLU(norm(reduce)))))))."""

    def __init__(self, inputs: int, width: int, heads: int, size: Sequence[int], stride: int) -> None:
        super().__init__()
        convolution = CONVOLUTION[len(size)]
        self.reduce = nn.Sequential(
            convolution(inputs, width, 1, bias=False), nn.GroupNorm(GROUPS, width), nn.ReLU()
        )
        self.attention = nn.Sequential(
            *(AxialAttention(width, heads, length, axis) for axis, length in enumerate(size))
        )
        if stride == 2:
            self.attention.append(AVERAGE_POOL[len(size)](3, stride=2, padding=1))
        self.expand = nn.Sequential(
            convolution(width, 2 * width, 1, bias=False), nn.GroupNorm(GROUPS, 2 * width)
        )
        self.shortcut = nn.Sequential()
        if stride == 2 or inputs != 2 * width:
            layer = convolution(inputs, 2 * width, 1, stride=stride, bias=False)
            self.shortcut.extend([layer, nn.GroupNorm(GROUPS, 2 * width)])

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.shortcut(x) + self.expand(relu(self.attention(self.reduce(x)))))


class Up(nn.Module):
    """ReLU of the convolved map upsampled linearly by 2, plus the skip if there is one."""

    def __init__(self, spatial_dims: int, convolution: nn.Module) -> None:
        super().__init__()
        self.mode = LINEAR_MODE[spatial_dims]
        self.convolution = convolution

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        x = relu(interpolate(self.convolution(x), scale_factor=2, mode=self.mode, align_corners=False))
        return x if skip is None else x + skip
