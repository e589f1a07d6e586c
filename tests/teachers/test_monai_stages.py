"""Stages of MONAI's networks, at settings for which a table of fixed strides would be wrong."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.networks.nets.attentionunet import AttentionUnet
from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.flexible_unet import FlexibleUNet
from monai.networks.nets.segresnet import SegResNet
from monai.networks.nets.segresnet_ds import SegResNetDS
from monai.networks.nets.swin_unetr import SwinUNETR
from monai.networks.nets.unet import UNet
from monai.networks.nets.unetr import UNETR
from monai.networks.nets.vnet import VNet
from torch import nn

from segdistill.evaluation.sliding_window import strides_of
from segdistill.networks import attention_unet, segresnet, swin_unetr, vnet
from segdistill.networks.stages import resolve, stage_names
from segdistill.teachers.monai_bundle.stages import name_monai_stages

U = ["encoder/1", "encoder/2", "encoder/4"]


def names(network: nn.Module, *size: int, channels: int = 1) -> list[str]:
    """Names of the stages, whose strides are those that the names say."""
    example = torch.rand(1, channels, *size)
    found = list(stage_names(name_monai_stages(network, example)))
    for name, stride in strides_of(network, example, found).items():
        told = resolve(network, name).split("/")
        assert max(stride) == (int(told[1]) if len(told) > 1 else 1), name
    return [name for name in found if name not in ("logits", "encoder/deepest", "decoder/last")]


def test_unet_begins_at_half_and_has_strides_of_its_own() -> None:
    settings: dict[str, Any] = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2}
    uneven = UNet(**settings, channels=(4, 8, 16), strides=((2, 1), 4), num_res_units=2)
    assert names(uneven, 16, 16) == ["encoder/2", "encoder/8/stage1", "encoder/8", "decoder/2", "decoder/1"]
    plain = UNet(**settings, channels=(4, 8, 16, 32), strides=(1, 2, 2))
    assert names(plain, 16, 16) == [*U[:2], "encoder/4/stage2", "encoder/4", "decoder/2", "decoder/1"]


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (
            BasicUNet(2, 1, 2, (4, 4, 8, 8, 8, 4)),
            [*U, "encoder/8", "encoder/16", "decoder/8", "decoder/4", "decoder/2", "decoder/1"],
        ),
        (SegResNet(2, 8, 1, 2, blocks_down=(1, 1, 1), blocks_up=(1, 1)), [*U, "decoder/2", "decoder/1"]),
        (SegResNetDS(2, 8, 1, 2, blocks_down=(1, 1, 1), blocks_up=(1, 1)), [*U, "decoder/2", "decoder/1"]),
        (
            DynUNet(2, 1, 2, [3] * 4, [1, (1, 2), 2, 2], [(1, 2), 2, 2], filters=[4, 4, 8, 8], deep_supervision=True),
            [*U, "encoder/8", "decoder/4", "decoder/2", "decoder/1"],
        ),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_convolutional_networks(network: nn.Module, expected: list[str]) -> None:
    assert names(network, 32, 32) == expected


def test_those_that_are_ours_too_have_the_same_names() -> None:
    ours = attention_unet.AttentionUNet(2, 1, 2, channels=(4, 8, 16))
    theirs = AttentionUnet(2, 1, 2, (4, 8, 16), (2, 2))
    assert set(names(theirs, 32, 32)) == set(stage_names(ours)) - {
        "logits",
        "encoder/deepest",
        "decoder/last",
    }
    mine = segresnet.SegResNet(2, 1, 2)
    assert set(names(SegResNet(2, 8, 1, 2), 32, 32)) <= set(stage_names(mine))
    assert set(names(VNet(2, 1, 2, dropout_prob_up=(0.0, 0.0), dropout_dim=2), 32, 32)) == set(
        stage_names(vnet.VNet(2, 1, 2))
    ) - {"logits", "encoder/deepest", "decoder/last"}


def test_transformers() -> None:
    assert set(names(UNETR(1, 2, (32, 48), 4, 24, 48, 2, spatial_dims=2), 32, 48)) == {
        *U, "encoder/8", "encoder/16", "decoder/8", "decoder/4", "decoder/2", "decoder/1",
    }  # fmt: skip
    swin = SwinUNETR(1, 2, feature_size=12, spatial_dims=2, depths=(1, 1, 1, 1))
    ours = swin_unetr.SwinUNETR(2, 1, 2, feature_size=12, variant="monai")
    assert set(names(swin, 64, 64)) == set(stage_names(ours)) - {"logits", "encoder/deepest", "decoder/last"}


@pytest.mark.slow
def test_any_other_network_of_monai_by_shape() -> None:
    flexible = FlexibleUNet(3, 2, "efficientnet-b0", pretrained=False, spatial_dims=2)
    assert names(flexible, 96, 64, channels=3) == [
        *(f"encoder/{stride}" for stride in (2, 4, 8, 16, 32)),
        *(f"decoder/{stride}" for stride in (16, 8, 4, 2, 1)),
    ]
