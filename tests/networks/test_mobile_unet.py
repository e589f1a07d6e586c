"""Mobile U-Net: MobileNetV2's published sizes and parameter names, and the wiring of the decoder."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from segdistill.cost import count
from segdistill.networks import catch
from segdistill.networks.mobile_unet import MobileUNet, rounded

CLASSES = 1000  # of ImageNet


def on_meta(
    spatial_dims: int = 2, in_channels: int = 3, out_channels: int = 1, **settings: object
) -> MobileUNet:
    with torch.device("meta"):
        return MobileUNet(spatial_dims, in_channels, out_channels, **settings)


def test_the_encoder_is_mobilenetv2() -> None:
    counts = count(on_meta(last_pointwise=True).features, (3, 224, 224))
    assert counts.parameters == 2_223_872 == 3_504_872 - (1280 + 1) * CLASSES
    assert (counts.macs + 1280 * CLASSES) / 1e6 == pytest.approx(300, abs=1)


@pytest.mark.parametrize(("multiplier", "mmacs"), [(1.4, 582), (0.75, 209), (0.5, 97), (0.35, 59)])
def test_the_operations_of_mobilenetv2_at_other_widths(multiplier: float, mmacs: int) -> None:
    network = on_meta(multiplier=multiplier, last_pointwise=True)
    last = rounded(1280 * max(1, multiplier))
    assert (count(network.features, (3, 224, 224)).macs + last * CLASSES) / 1e6 == pytest.approx(mmacs, abs=1)


def test_the_size_said_in_the_docstring() -> None:
    counts = count(on_meta(), (3, 256, 256))
    assert counts.parameters == 2_401_025
    assert counts.macs / 1e9 == pytest.approx(0.83, abs=0.01)
    per_class = count(on_meta(out_channels=2), (3, 256, 256)).parameters - counts.parameters
    per_channel = count(on_meta(in_channels=4), (4, 256, 256)).parameters - counts.parameters
    assert (per_class, per_channel) == (16 + 1, 32 * 9)


def test_the_encoders_names_are_torchvisions() -> None:
    """Of torchvision's `mobilenet_v2().state_dict()`: its shapes, all but the classifier's two."""
    of_norm = ("weight", "bias", "running_mean", "running_var")
    expected: dict[str, tuple[int, ...]] = {}

    def add(convolution: str, norm: str, *shape: int) -> None:
        expected[f"features.{convolution}.weight"] = shape
        expected.update({f"features.{norm}.{name}": shape[:1] for name in of_norm})
        expected[f"features.{norm}.num_batches_tracked"] = ()

    add("0.0", "0.1", 32, 3, 3, 3)
    widths = [32, 16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320]
    for i, (inputs, outputs) in enumerate(pairwise(widths), start=1):
        hidden = inputs if i == 1 else 6 * inputs
        if i > 1:
            add(f"{i}.conv.0.0", f"{i}.conv.0.1", hidden, inputs, 1, 1)
        at = 0 if i == 1 else 1
        add(f"{i}.conv.{at}.0", f"{i}.conv.{at}.1", hidden, 1, 3, 3)
        add(f"{i}.conv.{at + 1}", f"{i}.conv.{at + 2}", outputs, hidden, 1, 1)
    add("18.0", "18.1", 1280, 320, 1, 1)
    state = on_meta(last_pointwise=True).state_dict()
    assert len(expected) == 312
    assert {name: tuple(v.shape) for name, v in state.items() if name.startswith("features.")} == expected


@pytest.mark.parametrize(
    ("channels", "whole"), [(3.2, 8), (11.9, 16), (12, 16), (24, 24), (33.6, 32), (134.4, 136)]
)
def test_channels_are_rounded_to_eights_and_lose_no_tenth(channels: float, whole: int) -> None:
    assert rounded(channels) == whole


@pytest.mark.parametrize("last_pointwise", [False, True])
def test_the_maps_at_an_uneven_size(last_pointwise: bool) -> None:
    network = on_meta(last_pointwise=last_pointwise, out_channels=5).eval()
    expected = {
        **{"encoder/2": 16, "encoder/4": 24, "encoder/8": 32, "encoder/16": 96},
        **({"encoder/32/stage": 320, "encoder/32": 1280} if last_pointwise else {"encoder/32": 320}),
        **{"decoder/16": 96, "decoder/8": 32, "decoder/4": 24, "decoder/2": 16, "decoder/1": 16, "logits": 5},
    }
    assert list(network.stages()) == list(expected)
    with torch.no_grad(), catch(network, expected) as maps:
        network(torch.empty(1, 3, 96, 32, device="meta"))
    for name, width in expected.items():
        stride = int(name.split("/")[1]) if "/" in name else 1
        assert maps[name].shape == (1, width, 96 // stride, 32 // stride), name


@pytest.mark.parametrize("channel_attention", [True, False])
def test_a_decoder_step_weighs_the_channels_of_the_deep_map_and_the_skip(channel_attention: bool) -> None:
    torch.manual_seed(0)
    network = MobileUNet(2, 1, 2, multiplier=0.25, channel_attention=channel_attention).eval()
    names = [f"encoder/{2 << i}" for i in range(5)] + [f"decoder/{1 << i}" for i in range(5)]
    with torch.no_grad(), catch(network, names) as maps:
        network(torch.randn(1, 1, 64, 32))
    for stride in (16, 8, 4, 2, 1):
        step = network.decoder[[16, 8, 4, 2, 1].index(stride)]
        x = maps["encoder/32" if stride == 16 else f"decoder/{2 * stride}"]
        with torch.no_grad():
            x = step.up(x)
            if stride > 1:
                x = torch.cat([x, maps[f"encoder/{stride}"]], 1)
            if channel_attention:
                x = x * weights_of(step.attention.fc, x)[..., None, None]
            torch.testing.assert_close(
                step.block.conv(x) + residual(step.block, x), maps[f"decoder/{stride}"]
            )


def weights_of(layers: nn.Module, x: Tensor) -> Tensor:
    """Squeeze-and-excitation, Eq. 3: sigmoid(W2 relu(W1 z)) of the mean z of each channel."""
    hidden = torch.relu(layers[0](x.mean((2, 3))))
    return torch.sigmoid(layers[2](hidden))


def residual(block: nn.Module, x: Tensor) -> Tensor | float:
    """What an inverted residual block adds: its input, where the shapes agree (the step to full size)."""
    return x if block.conv[-1].num_features == x.shape[1] else 0.0
