"""RA-UNet: the numbers of the authors' code, and its attention residual module layer by layer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, interpolate, max_pool2d

from segdistill.cost import count
from segdistill.networks import catch, stage_names
from segdistill.networks.ra_unet import AttentionModule, RAUNet, ResidualBlock


@pytest.mark.parametrize(
    ("spatial_dims", "filters", "in_channels", "classes", "parameters"),
    [
        (3, 32, 1, 1, 4_420_849),  # RA-UNet-II
        (3, 32, 2, 3, 4_420_849 + 27 * 32 + 2 * (27 * 32 + 1)),
        (2, 16, 1, 1, 737_897),  # RA-UNet-I
        (2, 32, 1, 1, 2_916_337),
    ],
)
def test_number_of_parameters(
    spatial_dims: int, filters: int, in_channels: int, classes: int, parameters: int
) -> None:
    with torch.device("meta"):
        network = RAUNet(spatial_dims, in_channels, classes, filters=filters)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_operations_of_ra_unet_2_on_its_patch() -> None:
    with torch.device("meta"):
        assert count(RAUNet(3, 1, 1), (1, 224, 224, 32)).macs / 1e9 == pytest.approx(101.132, abs=1e-3)


def block(layer: nn.Module, x: Tensor) -> Tensor:
    """A bottleneck block from its weights in the order that they were made in."""
    w = list(layer.parameters())
    y = x
    for i, padding in zip((0, 4, 8), (0, 1, 0), strict=True):
        mean, variance = torch.zeros(len(w[i])), torch.ones(len(w[i]))
        y = batch_norm(y, mean, variance, w[i], w[i + 1]).relu()
        y = conv2d(y, w[i + 2], w[i + 3], padding=padding)
    return y + conv2d(x, w[12], w[13])


def twice(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2, mode="nearest")


def test_the_attention_module_is_one_plus_the_mask_times_the_trunk() -> None:
    torch.manual_seed(0)
    module = AttentionModule(2, 4, levels=2).eval()
    blocks = [layer for layer in module.modules() if isinstance(layer, ResidualBlock)]
    # in the order they were made: first, trunk x 2, then down, (down, up), skip, up of the hourglass, last
    first, trunk1, trunk2, down1, down2, up2, skip, up1, last = blocks
    narrow, wide = module.mask[1], module.mask[2]
    image = torch.randn(1, 4, 8, 12)
    with torch.no_grad():
        x = block(first, image)
        trunk = block(trunk2, block(trunk1, x))
        half = block(down1, max_pool2d(x, 2))
        quarter = block(down2, max_pool2d(half, 2))
        half = twice(block(up2, quarter)) + block(skip, half)
        mask = wide(narrow(twice(block(up1, half)))).sigmoid()
        torch.testing.assert_close(module(image), block(last, (1 + mask) * trunk))


def test_each_skip_but_the_finest_passes_its_module_and_is_joined_with_the_map_from_below() -> None:
    torch.manual_seed(0)
    network = RAUNet(2, 1, 2, filters=4).eval()
    with torch.no_grad(), catch(network, stage_names(network)) as maps:
        network(torch.randn(1, 1, 64, 32))
        below = maps["encoder/32"]
        for i, stride in enumerate((16, 8, 4, 2)):
            attended = maps[f"decoder/{stride}/attention"]
            torch.testing.assert_close(network.attention[i](maps[f"encoder/{stride}"]), attended)
            below = network.decoder[i](torch.cat([twice(below), attended], dim=1))
            torch.testing.assert_close(maps[f"decoder/{stride}"], below)
        finest = network.last(torch.cat([twice(below), maps["encoder/1"]], dim=1))
        torch.testing.assert_close(maps["decoder/1"], finest)


def test_stages_at_an_anisotropic_size() -> None:
    network = RAUNet(3, 1, 2, filters=4).eval()
    with torch.no_grad(), catch(network, stage_names(network)) as maps:
        network(torch.randn(1, 1, 64, 32, 32))
    assert [maps[f"encoder/{s}"].shape[1] for s in (1, 2, 4, 8, 16, 32)] == [4, 4, 8, 16, 32, 64]
    assert [maps[f"decoder/{s}"].shape[1] for s in (16, 8, 4, 2, 1)] == [32, 16, 8, 4, 4]
    assert maps["encoder/deepest"].shape[2:] == (2, 1, 1)


def test_filters_that_have_no_quarter_are_refused() -> None:
    with pytest.raises(ValueError, match=r"multiple of 4.*write filters: 8"):
        RAUNet(2, 1, 2, filters=9)
