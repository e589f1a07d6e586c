"""Segmentation networks by name, and the published teachers and light students as presets."""

from __future__ import annotations

from fractions import Fraction
from math import lcm

from segdistill.networks.al_net import ALNet
from segdistill.networks.attention_unet import AttentionUNet
from segdistill.networks.axial_transformer import AxialTransformer
from segdistill.networks.blocks.nnunet_topology import multiple_of
from segdistill.networks.depthwise_unet import DepthwiseUNet
from segdistill.networks.h_denseformer import HDenseFormer
from segdistill.networks.mdvit import MDViT
from segdistill.networks.missformer import MISSFormer
from segdistill.networks.missu import MISSU
from segdistill.networks.mobile_unet import MobileUNet
from segdistill.networks.nnunet_plain import NNUNetPlain
from segdistill.networks.nnunet_residual import NNUNetResidual
from segdistill.networks.presets import PRESETS, Preset, expand_preset
from segdistill.networks.ra_unet import RAUNet
from segdistill.networks.resnet18_student import ResNet18Student
from segdistill.networks.row import Row, Settings, halvings, heads, heads_of_ratios, heads_of_stages
from segdistill.networks.segresnet import SegResNet
from segdistill.networks.stages import catch, name_stages, resolve, stage_names, stride_of
from segdistill.networks.swin_unet import SwinUnet
from segdistill.networks.swin_unetr import SwinUNETR
from segdistill.networks.transbts import TransBTS
from segdistill.networks.transunet import TransUNet
from segdistill.networks.unet import UNet
from segdistill.networks.unet_plus_plus import UNetPlusPlus
from segdistill.networks.unetr import UNETR
from segdistill.networks.ux_net import UXNet
from segdistill.networks.vnet import VNet

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


def _quartered(settings: Settings) -> int:
    """The step of a width that is divided by the number of heads, and of which the decoder has a quarter."""
    return lcm(heads(settings), 4)


NETWORKS: dict[str, Row] = {
    "unet": Row(
        UNet,
        "Ronneberger et al., MICCAI 2015; Cicek et al., MICCAI 2016",
        "plain U-Net of any width and depth, instance norm",
        multiple=halvings,
        widths={"channels": 1},
    ),
    "unet_plus_plus": Row(
        UNetPlusPlus,
        "Zhou et al., DLMIA 2018",
        "U-Net with nested skips, batch norm; HLFD's teacher",
        widths={"filters": 1},
    ),
    "vnet": Row(
        VNet,
        "Milletari et al., 3DV 2016",
        "residual encoder and decoder of 5-wide convolutions, MONAI's blocks",
        widths={"filters": 1},
    ),
    "attention_unet": Row(
        AttentionUNet,
        "Oktay et al., MIDL 2018",
        "U-Net whose skips are gated by the map from below, MONAI's",
        multiple=halvings,
        widths={"channels": 2},
    ),
    "ra_unet": Row(
        RAUNet,
        "Jin et al., Front. Bioeng. Biotechnol. 2020",
        "residual U-Net with an attention residual module on each skip but the finest",
        multiple=lambda _: 32,
        widths={"filters": 4},
    ),
    "transunet": Row(
        TransUNet,
        "Chen et al., 2021, arXiv:2102.04306",
        "Vision Transformer on a ResNet-50's map at 1/16, convolutional decoder; fixed image size",
        widths={"hidden_size": heads, "mlp_size": 1, "filters": 1, "decoder_channels": 1},
    ),
    "transbts": Row(
        TransBTS,
        "Wang et al., MICCAI 2021",
        "residual U-Net with a Transformer at 1/8; fixed image size",
        multiple=lambda _: 8,
        widths={"hidden_size": _quartered, "mlp_size": 1, "filters": 1},
    ),
    "swin_unet": Row(
        SwinUnet,
        "Cao et al., ECCV workshops 2022",
        "pure Swin Transformer U-Net: patch embedding 4, patch merging and patch expanding",
        multiple=lambda _: 32,
        widths={"feature_size": heads_of_stages},
    ),
    "unetr": Row(
        UNETR,
        "Hatamizadeh et al., WACV 2022",
        "Vision Transformer encoder with a convolutional decoder; fixed image size",
        widths={"hidden_size": heads, "mlp_size": 1, "feature_size": 1},
    ),
    "swin_unetr": Row(
        SwinUNETR,
        "Hatamizadeh et al., 2022, arXiv:2201.01266; variant paper: Hossain et al., 2025",
        "Swin Transformer encoder; Teach-Former's decoder from 1/16 or MONAI's from 1/32",
        multiple=lambda settings: 16 if settings["variant"] == "paper" else 32,
        widths={"feature_size": heads_of_stages},
    ),
    "h_denseformer": Row(
        HDenseFormer,
        "Shi et al., MICCAI 2023",
        "U-Net with a densely connected Transformer branch for each input channel; fixed image size",
        widths={"filters": 1},
    ),
    "ux_net": Row(
        UXNet,
        "Lee et al., ICLR 2023",
        "large depthwise convolutions in the place of Swin attention",
        widths={"feature_sizes": 1, "hidden_size": 1},
    ),
    "missu": Row(
        MISSU,
        "Wang et al., IEEE Trans. Med. Imaging 42(9), 2023, arXiv:2206.00902",
        "TransBTS's structure with a smaller Transformer, taught by its own encoder; fixed image size",
        multiple=lambda _: 8,
        widths={"hidden_size": _quartered, "mlp_size": 1, "filters": 1},
    ),
    "mdvit": Row(
        MDViT,
        "Du et al., MICCAI 2023",
        "U-shaped Transformer of factorised attention, adapted to the site of an image",
        multiple=lambda _: 32,
        widths={"feature_sizes": lambda settings: sum(settings["heads"]), "auxiliary_size": 1},
    ),
    "missformer": Row(
        MISSFormer,
        "Huang et al., 2021, arXiv:2109.07162; IEEE TMI 2023",
        "hierarchical Transformer U-Net with efficient attention and a context bridge over all scales",
        multiple=lambda _: 32,
        widths={"dims": heads_of_ratios},
    ),
    "nnunet_plain": Row(
        NNUNetPlain,
        "Isensee et al., Nature Methods 2021",
        "nnU-Net's plain U-Net by its plans' settings; loads its weights",
        multiple=lambda settings: multiple_of(settings["strides"]),
        widths={"features_per_stage": 1},
    ),
    "nnunet_residual": Row(
        NNUNetResidual,
        "Isensee et al., MICCAI 2024",
        "nnU-Net's U-Net with a residual encoder (ResEnc); loads its weights",
        multiple=lambda settings: multiple_of(settings["strides"]),
        widths={"features_per_stage": 1},
    ),
    "segresnet": Row(
        SegResNet,
        "Myronenko, BrainLes 2018",
        "residual encoder with a light decoder and group norm, MONAI's",
        multiple=lambda settings: 2 ** len(settings["blocks_up"]),
        widths={"filters": 1},
    ),
    "mobile_unet": Row(
        MobileUNet,
        "Sandler et al., CVPR 2018; as a student: Qing and Qi, ICBIC 2024",
        "MobileNetV2 encoder, inverted residual decoder, channel attention",
        multiple=lambda _: 32,
        widths={"multiplier": Fraction(1, 20)},
    ),
    "resnet18_student": Row(
        ResNet18Student,
        "He et al., CVPR 2016; as a segmenter: Gorade et al., ISBI 2024",
        "ResNet-18 trunk with one output convolution at 1/32, no decoder; HLFD's student",
        multiple=lambda _: 32,
        widths={"filters": 1},
    ),
    "al_net": Row(
        ALNet,
        "Du et al., Front. Signal Process. 2022; encoder: Ding et al., CVPR 2021",
        "re-parameterised RepVGG encoder, light pyramid of dilated convolutions, thin decoder",
        multiple=lambda _: 32,
        widths={"channels": 1, "decoder_channels": 4},
    ),
    "axial_transformer": Row(
        AxialTransformer,
        "Liu and Kiryu, MIDL 2023",
        "gated attention along one axis after the other at 1/4 to 1/16; fixed image size",
        multiple=lambda _: 32,
        widths={"filters": lambda settings: lcm(2 * settings["heads"], 4)},
    ),
    "depthwise_unet": Row(
        DepthwiseUNet,
        "Zhao et al., ISBI 2021 and TMI 2023 (LCOV-Net); Paszke et al., 2016 (ENet)",
        "light U-Net of separable convolutions with feature calibration",
        multiple=lambda settings: halvings(settings) * (2 if settings["early_downsampling"] else 1),
        widths={"channels": 1},
    ),
}
