"""Stages by shape: own networks are the oracle, since they say themselves which module makes which map."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from segdistill.networks.naming import Map, name_measured, name_stages_by_shape
from segdistill.networks.nnunet_plain import NNUNetPlain
from segdistill.networks.segresnet import SegResNet
from segdistill.networks.stages import catch, resolve, stage_names, stage_table
from segdistill.networks.swin_unetr import SwinUNETR
from segdistill.networks.unet import UNet
from segdistill.networks.unet_plus_plus import UNetPlusPlus
from segdistill.networks.unetr import UNETR

IMAGE = torch.rand(1, 2, 32, 64)


def maps(network: nn.Module, image: Tensor) -> dict[str, Tensor]:
    with torch.no_grad(), catch(network.eval(), stage_names(network)) as caught:
        network(image)
    return caught


@pytest.mark.parametrize("make", [UNet, SegResNet, UNetPlusPlus])
def test_the_strides_of_own_networks_are_found(make: type[nn.Module]) -> None:
    network = make(2, 2, 3)
    own = {name for name in stage_names(network) if name.count("/") < 2}
    name_stages_by_shape(network, IMAGE)
    assert set(stage_names(network)) == own


def test_the_maps_of_a_unet_are_those_that_it_names_itself() -> None:
    network = UNet(2, 2, 3)
    own = maps(network, IMAGE)
    found = maps(name_stages_by_shape(network, IMAGE), IMAGE)
    assert own.keys() == found.keys()
    assert all(torch.equal(own[name], found[name]) for name in own)


def test_maps_are_as_large_as_their_names_say() -> None:
    network = name_stages_by_shape(SegResNet(2, 2, 3), IMAGE)
    for name, found in maps(network, IMAGE).items():
        stride = {"encoder/deepest": 8, "decoder/last": 1, "logits": 1}.get(name) or int(name.split("/")[1])
        assert found.shape[2:] == (32 // stride, 64 // stride), name


def test_strides_that_differ_by_axis_have_the_name_of_the_largest() -> None:
    strides = ((1, 1), (1, 2), (2, 2), (2, 1))
    network = NNUNetPlain(2, 2, 3, features_per_stage=(4, 8, 8, 8), strides=strides)
    own = [name for name in stage_names(network) if not name.startswith("logits")]
    name_stages_by_shape(network, torch.rand(1, 2, 32, 32))
    found = [name for name in stage_names(network) if name != "logits"]
    assert sorted(name.split("/")[1] for name in own) == sorted(name.split("/")[1] for name in found)
    assert "encoder/4" in found and any(name.startswith("encoder/4/") for name in found)


def unetr() -> nn.Module:
    return UNETR(2, 2, 3, (32, 64), feature_size=3, hidden_size=12, mlp_size=12, heads=2)


def swin_unetr() -> nn.Module:
    return SwinUNETR(2, 2, 3, feature_size=12)


@pytest.mark.parametrize("make", [unetr, swin_unetr])
def test_of_a_transformer_no_tokens_are_named(make: Callable[[], nn.Module]) -> None:
    network = make()
    own = maps(network, IMAGE)
    found = maps(name_stages_by_shape(network, IMAGE), IMAGE)
    assert found.keys() <= own.keys()
    assert resolve(network, "decoder/last") == "decoder/1"  # although UNETR's is as wide as the logits here
    assert resolve(network, "encoder/deepest") == "encoder/16"
    assert all(found[name].shape == own[name].shape for name in found)


class LastFirst(nn.Module):
    """A cube of as many voxels as channels, whose blocks have the channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv3d(1, 8, 2, stride=2)
        self.mix = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8))
        self.up = nn.ConvTranspose3d(8, 4, 2, stride=2)
        self.out = nn.Conv3d(4, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.mix(self.patches(image).movedim(1, -1)).movedim(-1, 1)
        return self.out(self.up(x))


def test_channels_last_are_not_mistaken_for_space() -> None:
    network = name_stages_by_shape(LastFirst(), torch.rand(1, 1, 16, 16, 16))
    assert stage_table(network)["encoder/2"][0] is network.patches
    assert stage_table(network)["decoder/1"][0] is network.up


class Shared(nn.Module):
    """One pooling for all levels, global pooling, and heads as deep supervision has them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (
            nn.Conv2d(2, 4, 3, padding=1),
            nn.Conv2d(4, 8, 3, padding=1),
            nn.Conv2d(8, 8, 1),
        )
        self.pool = nn.MaxPool2d(2)
        self.squeeze = nn.Conv2d(8, 8, 1)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.head, self.out = nn.Conv2d(4, 3, 1), nn.ConvTranspose2d(4, 3, 2, stride=2)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.c(self.pool(self.b(self.pool(self.a(image)))))
        x = self.up(x * self.squeeze(x.mean((2, 3), keepdim=True)))
        return [self.out(x), self.head(x)]


def test_what_runs_twice_is_pooled_or_is_a_head_gets_no_name() -> None:
    network = name_stages_by_shape(Shared(), IMAGE)
    table = {name: module for name, (module, _) in stage_table(network).items()}
    assert table == {
        "encoder/1": network.a,
        "encoder/2": network.b,
        "encoder/4": network.c,
        "decoder/2": network.up,
        "logits": network,
    }


def test_names_given_with_their_side_are_measured() -> None:
    network = UNet(2, 2, 3, channels=(4, 4, 4))
    known = [
        Map("encoder", "encoder.0"),
        Map("encoder", "encoder.2"),
        Map("decoder", "decoder.0"),
        Map("decoder", "decoder.0.0"),
    ]
    assert stage_names(name_measured(network, IMAGE, known)) == (
        "encoder/1",
        "encoder/4",
        "decoder/2/stage0",
        "decoder/2",
        "logits",
        "encoder/deepest",
        "decoder/last",
    )  # fmt: skip


def test_modes_and_hooks_are_as_before() -> None:
    network = UNet(2, 2, 3, channels=(4, 4))
    network.train()
    network.heads.eval()
    name_stages_by_shape(network, IMAGE)
    assert network.training and not network.heads.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_an_input_that_does_not_fit_is_explained() -> None:
    with pytest.raises(ValueError, match=r"UNet cannot run on an input of \(1, 2, 9, 9\)"):
        name_stages_by_shape(UNet(2, 2, 3), torch.rand(1, 2, 9, 9))
