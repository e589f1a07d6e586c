"""The light U-Net of separable convolutions: LCOV-Net's size, its block, and ENet's first layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d, conv2d, conv3d, interpolate, max_pool2d

from segdistill.cost import count
from segdistill.networks import catch
from segdistill.networks.blocks.depthwise_blocks import LightBlock
from segdistill.networks.depthwise_unet import DepthwiseUNet

LCOV_TMI = {"separable": "spatiotemporal", "deep_supervision": True}
LCOV_ISBI = {"separable": "spatiotemporal", "channels": (32, 64, 128, 256)}


def parameters(in_channels: int, out_channels: int, **settings: Any) -> int:
    with torch.device("meta"):
        network = DepthwiseUNet(3, in_channels, out_channels, **settings)
    return sum(p.numel() for p in network.parameters())


def test_lcov_net_has_the_size_of_its_official_code() -> None:
    assert parameters(1, 17, **LCOV_TMI) == 2_785_764
    three_wide, one_wide = 27 * 32 + 1, 32 + 1
    assert parameters(1, 1, **LCOV_ISBI) - one_wide + three_wide == 806_945


def test_lcov_net_with_other_ends() -> None:
    per_class = 256 + 128 + 64 + 32 + 4  # an output convolution on each decoder level
    assert parameters(1, 2, **LCOV_TMI) == 2_785_764 - 15 * per_class
    assert parameters(3, 17, **LCOV_TMI) == 2_785_764 + 2 * 3 * 32


def test_the_size_said_in_the_docstring() -> None:
    with torch.device("meta"):
        counts = count(DepthwiseUNet(3, 1, 1), (1, 64, 64, 64))
    assert counts.parameters == 962_559
    assert counts.macs / 1e9 == pytest.approx(3.66, abs=0.01)


def block(separable: Any, **settings: Any) -> LightBlock:
    torch.manual_seed(0)
    made = LightBlock(3, 2, 4, separable=separable, **{"attention": True, "dropout": 0.2, **settings})
    return made.eval()


def plain(layers: nn.Sequential, at: int, x: Tensor, **how: Any) -> Tensor:
    """Convolution, batch norm and ReLU6 number `at` of `layers`; a new norm in evaluation mode only scales."""
    y = conv3d(x, layers[at].weight, layers[at].bias, **how)
    return (y / (1 + layers[at + 1].eps) ** 0.5).clamp(0, 6)


def test_a_spatiotemporal_block_goes_across_the_slices_then_within_them() -> None:
    made, x = block("spatiotemporal"), torch.randn(1, 2, 4, 6, 8)
    with torch.no_grad():
        across = plain(made.first, 0, x, padding=(0, 0, 1))
        within = plain(made.second, 0, across, padding=(1, 1, 0))
        half = avg_pool3d(across, 4, stride=2, padding=1)
        linear = made.gate[2]
        gate = conv3d(half, linear.weight, linear.bias) / (1 + 1e-5) ** 0.5
        gate = torch.sigmoid(interpolate(gate, scale_factor=2, mode="trilinear"))
        torch.testing.assert_close(made(x), within + gate * across)


def test_the_deepest_block_is_depthwise_within_slices_and_calibrated_at_its_own_size() -> None:
    made, x = block("spatiotemporal", deepest=True), torch.randn(1, 2, 1, 2, 3)
    with torch.no_grad():
        across = plain(made.first, 0, x, padding=(0, 0, 1))
        within = plain(made.second, 0, across, padding=(1, 1, 0), groups=4)
        torch.testing.assert_close(made(x), within + torch.sigmoid(plain(made.gate, 0, across)) * across)


def test_a_depthwise_block_filters_each_channel_then_mixes_them() -> None:
    made, x = block("depthwise", attention=False), torch.randn(1, 2, 4, 6, 8)
    with torch.no_grad():
        y = plain(made.first, 3, plain(made.first, 0, x, padding=1, groups=2))
        y = plain(made.second, 3, plain(made.second, 0, y, padding=1, groups=4))
        torch.testing.assert_close(made(x), y)


def test_in_two_dimensions_the_last_axis_is_the_one_across() -> None:
    network = DepthwiseUNet(2, 1, 2, channels=(2, 3), separable="spatiotemporal")
    assert network.encoder[0].first[0].kernel_size == (1, 3)
    assert network.encoder[0].second[0].kernel_size == (3, 1)


def test_a_decoder_level_reads_the_upsampled_deep_map_and_the_skip() -> None:
    torch.manual_seed(0)
    network = DepthwiseUNet(2, 1, 2, channels=(2, 3, 4)).eval()
    names = ["encoder/1", "encoder/2", "encoder/4", "decoder/2", "decoder/1"]
    with torch.no_grad(), catch(network, names) as maps:
        logits = network(torch.randn(1, 1, 16, 8))
        torch.testing.assert_close(network.encoder[1](max_pool2d(maps["encoder/1"], 2)), maps["encoder/2"])
        deep = maps["encoder/4"]
        for i, name in enumerate(["2", "1"]):
            convolution = network.up[i][0]
            reduced = conv2d(deep, convolution.weight, convolution.bias) / (1 + 1e-5) ** 0.5
            up = interpolate(reduced.clamp(0, 6), scale_factor=2, mode="bilinear")
            deep = network.decoder[i](torch.cat([up, maps[f"encoder/{name}"]], 1))
            torch.testing.assert_close(deep, maps[f"decoder/{name}"])
        torch.testing.assert_close(network.heads[0](deep), logits)


def test_early_downsampling_halves_every_level_and_keeps_the_image_beside_the_convolved() -> None:
    torch.manual_seed(0)
    network = DepthwiseUNet(2, 2, 3, channels=(4, 5, 6), early_downsampling=True).eval()
    image = torch.randn(1, 2, 32, 16)
    names = list(network.stages())
    assert names == [
        *("encoder/2/initial", "encoder/2", "encoder/4", "encoder/8"),
        *("decoder/4", "decoder/2", "decoder/1", "logits"),
    ]
    with torch.no_grad(), catch(network, names) as maps:
        assert network(image).shape == (1, 3, 32, 16)
    pooled = max_pool2d(image, 2) / (1 + 1e-5) ** 0.5
    expected = torch.where(pooled > 0, pooled, 0.25 * pooled)  # PReLU before training
    torch.testing.assert_close(maps["encoder/2/initial"][:, 2:], expected)
    assert maps["decoder/1"].shape == (1, 4, 32, 16)


def test_early_downsampling_is_cheaper() -> None:
    with torch.device("meta"):
        macs = [
            count(DepthwiseUNet(3, 1, 2, early_downsampling=early), (1, 32, 32, 64)).macs
            for early in (False, True)
        ]
    assert macs[1] < macs[0] / 6


def test_too_few_channels_for_early_downsampling_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 4 channels"):
        DepthwiseUNet(2, 4, 2, channels=(4, 8), early_downsampling=True)


def test_dropout_acts_in_training_only() -> None:
    network = DepthwiseUNet(2, 1, 2, channels=(4, 4), dropout=0.5)
    image = torch.randn(1, 1, 16, 8)
    assert not torch.equal(network.train()(image), network(image))
    assert torch.equal(network.eval()(image), network(image))
