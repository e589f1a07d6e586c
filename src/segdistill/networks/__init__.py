"""Segmentation networks by name, and the published teachers and light students as presets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from segdistill.networks.h_denseformer import HDenseFormer
from segdistill.networks.presets import PRESETS, Preset, expand_preset
from segdistill.networks.resnet import ResNet
from segdistill.networks.stages import catch, name_stages, resolve, stage_names, stride_of
from segdistill.networks.swin_unetr import SwinUNETR
from segdistill.networks.unet import UNet
from segdistill.networks.unet_plus_plus import UNetPlusPlus
from segdistill.networks.unetr import UNETR
from segdistill.networks.ux_net import UXNet

__all__ = [
    "NETWORKS",
    "PRESETS",
    "Preset",
    "Row",
    "catch",
    "expand_preset",
    "name_stages",
    "resolve",
    "stage_names",
    "stride_of",
]


@dataclass(frozen=True)
class Row:
    """One network of the table: the class, where it was published, and one line about it.

    Attributes:
        multiple: of which number the sides of its images are multiples, at these (complete) settings; an instance says
            the same as `divisible_by`.
    """

    part: type[nn.Module]
    reference: str
    summary: str
    multiple: Callable[[Mapping[str, Any]], int] = lambda _: 16


NETWORKS: dict[str, Row] = {
    "unet": Row(
        UNet,
        "Ronneberger et al., MICCAI 2015; Cicek et al., MICCAI 2016",
        "plain U-Net of any width and depth, instance norm",
        multiple=lambda settings: 2 ** (len(settings["channels"]) - 1),
    ),
    "h_denseformer": Row(
        HDenseFormer,
        "Shi et al., MICCAI 2023",
        "U-Net with a densely connected Transformer branch for each input channel; fixed image size",
    ),
    "swin_unetr": Row(
        SwinUNETR,
        "Hatamizadeh et al., 2022, arXiv:2201.01266; variant paper: Hossain et al., 2025",
        "Swin Transformer encoder; Teach-Former's decoder from 1/16 or MONAI's from 1/32",
        multiple=lambda settings: 16 if settings["variant"] == "paper" else 32,
    ),
    "unetr": Row(
        UNETR,
        "Hatamizadeh et al., WACV 2022",
        "Vision Transformer encoder with a convolutional decoder; fixed image size",
    ),
    "ux_net": Row(
        UXNet,
        "Lee et al., ICLR 2023",
        "large depthwise convolutions in the place of Swin attention",
    ),
    "unet_plus_plus": Row(
        UNetPlusPlus,
        "Zhou et al., DLMIA 2018",
        "U-Net with nested skips, batch norm; HLFD's teacher",
    ),
    "resnet": Row(
        ResNet,
        "He et al., CVPR 2016; as a segmenter: Gorade et al., ISBI 2024",
        "ResNet-18 or -34 trunk with one output convolution at 1/32, no decoder; HLFD's student",
        multiple=lambda _: 32,
    ),
}
