"""A ResNet-18 trunk with one output convolution: the light student of HLFD."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from monai.networks.nets import ResNet as MonaiResNet
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate

from segdistill.networks.blocks import CONVOLUTION, LINEAR_MODE
from segdistill.networks.sizes import check_channels, check_image
from segdistill.networks.stages import Stage

LAYERS = [2, 2, 2, 2]  # blocks of two convolutions in each of the four layers


class ResNet18Student(nn.Module):
    """ResNet-18 (He et al., CVPR 2016), 2-D or 3-D, as HLFD's student has it; it has no decoder.

    MONAI's trunk without pooling and classifier: stem [convolution 7 with stride 2, batch norm, ReLU] to `filters`
    channels, max-pool 3 with stride 2, four layers of basic blocks with `filters` * (1, 2, 4, 8) channels at 1/4,
    1/8, 1/16 and 1/32. Then one 1-wide convolution to the classes and linear upsampling by 32, corners aligned. An
    image of one channel is repeated to three, the stem's width in photographs; of several channels each goes into the
    stem as it is. Names of parameters under `trunk` are torchvision's. Sizes: every axis divisible by 32, more than one
    voxel left. The defaults are HLFD's: 11,177,538 parameters for one channel and two classes in 2-D, 5.33e9
    multiply-adds at 384 x 384.

    Stages: `encoder/2` the stem after its ReLU, `encoder/4` .. `encoder/32` layers 1 to 4 (HLFD's e1 .. e5);
    `decoder/1/layer3`, `decoder/1/layer2`, `decoder/1/layer1`, `decoder/1/stem` those maps upsampled linearly to the
    full size, corners aligned (HLFD's d5 .. d2), made only where asked for; `decoder/1` is the last of them, the stem;
    `logits`.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        filters: Annotated[int, Field(ge=1)] = 64,
    ) -> None:
        super().__init__()
        check_channels("resnet18_student", spatial_dims, in_channels, out_channels)
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.divisible_by = 32
        self.trunk = MonaiResNet(
            "basic",
            LAYERS,
            [filters * width for width in (1, 2, 4, 8)],
            spatial_dims=spatial_dims,
            n_input_channels=3 if in_channels == 1 else in_channels,
            conv1_t_size=7,
            conv1_t_stride=2,
            feed_forward=False,
            bias_downsample=False,
        )
        self.out = CONVOLUTION[spatial_dims](8 * filters, out_channels, 1)
        self.up = nn.Upsample(scale_factor=32, mode=LINEAR_MODE[spatial_dims], align_corners=True)

    def forward(self, image: Tensor) -> Tensor:
        """(B, in_channels, *S) -> (B, out_channels, *S)."""
        check_image(
            image,
            "resnet18_student",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
        )
        if self.in_channels == 1:
            image = image.expand(-1, 3, *image.shape[2:])
        trunk = self.trunk
        x = trunk.maxpool(trunk.act(trunk.bn1(trunk.conv1(image))))
        x = trunk.layer4(trunk.layer3(trunk.layer2(trunk.layer1(x))))
        return self.up(self.out(x))

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, how its output is read), in forward order."""
        trunk = self.trunk
        encoder = [trunk.act, trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4]
        table: dict[str, Stage] = {f"encoder/{2 << i}": (module, None) for i, module in enumerate(encoder)}

        def full_size(level: int) -> Stage:
            mode = LINEAR_MODE[self.spatial_dims]
            return encoder[level], partial(
                interpolate, scale_factor=2 << level, mode=mode, align_corners=True
            )

        names = ["decoder/1/stem", "decoder/1/layer1", "decoder/1/layer2", "decoder/1/layer3"]
        table |= {names[level]: full_size(level) for level in (3, 2, 1, 0)}
        return table | {"decoder/1": full_size(0), "logits": (self.up, None)}
