"""TransUNet: its published size, its standardised ResNet, and how tokens and maps belong together."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, group_norm, relu

from segdistill.cost import count
from segdistill.networks import catch, stage_names
from segdistill.networks.blocks.standardised_resnet import Bottleneck, StandardisedConv3d, StandardisedResNet
from segdistill.networks.transunet import TransUNet

SMALL: dict[str, Any] = {
    "filters": 2,
    "units": (1, 1, 1),
    "hidden_size": 8,
    "mlp_size": 6,
    "heads": 2,
    "layers": 1,
    "decoder_channels": (8, 6, 4, 3, 2),
}


def full(in_channels: int, out_channels: int, side: int) -> TransUNet:
    with torch.device("meta"):
        return TransUNet(2, in_channels, out_channels, (side, side))


@pytest.mark.parametrize("in_channels", [1, 3])
def test_the_published_size(in_channels: int) -> None:
    network = full(in_channels, 9, 224)
    counts = count(network, (in_channels, 224, 224))
    assert counts.parameters == 105_277_081
    assert counts.macs / 1e9 == pytest.approx(29.226, abs=1e-3)
    # Reported by others: 93.23 M and 24.73 G. thop does not know the standardised convolutions; its count
    # of the authors' code has the softmax of 12 layers of 12 heads over 196 tokens as well, which is no module here.
    assert counts.thop_parameters / 1e6 == pytest.approx(93.23, abs=0.01)
    softmax = 12 * 12 * 196 * (3 * 196 - 1)
    assert (counts.thop_macs + softmax) / 1e9 == pytest.approx(24.73, abs=0.01)


def test_the_size_by_hand() -> None:
    """A ResNet-50 without its last stage and classifier, ViT-B's layers, positions, decoder, head."""

    def unit(inputs: int, width: int, *, project: bool) -> int:
        inner = width // 4
        norms = 2 * (2 * inner + width)
        convolutions = inputs * inner + 9 * inner * inner + inner * width
        return convolutions + norms + (inputs * width + 2 * width if project else 0)

    resnet = 3 * 64 * 49 + 2 * 64
    for inputs, width, units in ((64, 256, 3), (256, 512, 4), (512, 1024, 9)):
        resnet += unit(inputs, width, project=True) + (units - 1) * unit(width, width, project=False)
    layer = 4 * (768 * 768 + 768) + (2 * 768 * 3072 + 768 + 3072) + 2 * 2 * 768
    vit = (1024 * 768 + 768) + 12 * layer + 2 * 768
    pairs = [(768, 512), (512 + 512, 256), (256, 256), (256 + 256, 128), (128, 128), (128 + 64, 64), (64, 64)]
    decoder = sum(9 * a * b + 2 * b for a, b in [*pairs, (64, 16), (16, 16)])
    for classes, side in ((9, 224), (2, 384)):
        expected = resnet + vit + 768 * (side // 16) ** 2 + decoder + 9 * 16 * classes + classes
        assert sum(p.numel() for p in full(3, classes, side).parameters()) == expected


def test_a_bottleneck_unit_against_plain_functions() -> None:
    torch.manual_seed(0)
    unit = Bottleneck(2, 6, 16, stride=2).eval()
    for parameter in unit.parameters():
        torch.nn.init.normal_(parameter)

    def convolve(x: Tensor, weight: Tensor, **where: Any) -> Tensor:
        flat = weight.flatten(1)
        flat = (flat - flat.mean(1, keepdim=True)) / (flat.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
        return conv2d(x, flat.view_as(weight), **where)

    p = dict(unit.named_parameters())
    x = torch.randn(1, 6, 9, 8)
    y = relu(group_norm(convolve(x, p["layers.0.weight"]), 4, p["layers.1.weight"], p["layers.1.bias"], 1e-6))
    y = convolve(y, p["layers.3.weight"], stride=2, padding=1)
    y = relu(group_norm(y, 4, p["layers.4.weight"], p["layers.4.bias"], 1e-6))
    y = group_norm(convolve(y, p["layers.6.weight"]), 16, p["layers.7.weight"], p["layers.7.bias"], 1e-6)
    side = convolve(x, p["project.0.weight"], stride=2)
    side = group_norm(side, 16, p["project.1.weight"], p["project.1.bias"])
    torch.testing.assert_close(unit(x), relu(side + y))


def test_standardised_weights_do_not_feel_scale_and_offset() -> None:
    convolution = StandardisedConv3d(2, 3, 3)
    x = torch.randn(1, 2, 5, 4, 3)
    before = convolution(x)
    with torch.no_grad():
        convolution.weight.mul_(7).add_(2)
    torch.testing.assert_close(convolution(x), before, rtol=1e-2, atol=1e-2)


def test_the_skip_at_a_quarter_ends_in_zeros_along_each_axis() -> None:
    resnet = StandardisedResNet(3, 1, filters=2, units=(1, 1, 1)).eval()
    with torch.no_grad():
        _, (_, quarter, _) = resnet(torch.randn(1, 1, 32, 16, 16))
    assert quarter.shape == (1, 8, 8, 4, 4)
    assert not any(quarter.select(axis, -1).any() for axis in (2, 3, 4))
    assert quarter[:, :, :-1, :-1, :-1].any()


def test_an_image_of_one_channel_is_repeated_to_three() -> None:
    one, three = TransUNet(2, 1, 2, (32, 16), **SMALL).eval(), TransUNet(2, 3, 2, (32, 16), **SMALL).eval()
    three.load_state_dict(one.state_dict())
    image = torch.randn(1, 1, 32, 16)
    with torch.no_grad():
        torch.testing.assert_close(one(image), three(image.repeat(1, 3, 1, 1)))


def test_tokens_come_back_to_their_places_and_stages_have_their_widths() -> None:
    network = TransUNet(3, 2, 3, (32, 16, 48), **SMALL).eval()
    with torch.no_grad():
        network.transformer.positions.normal_()
        names = stage_names(network)
        with catch(network, names) as maps:
            logits = network(torch.randn(1, 2, 32, 16, 48))
        embedded = network.embedding(maps["encoder/16/resnet"])
        tokens = torch.stack([embedded[0, :, x, y, z] for x in range(2) for y in range(1) for z in range(3)])
        transformer = network.transformer
        tokens = transformer.norm(transformer.layers(tokens[None] + transformer.positions))
    assert torch.equal(maps["encoder/deepest"], maps["encoder/16"])
    for x in range(2):
        for z in range(3):
            torch.testing.assert_close(maps["encoder/16"][0, :, x, 0, z], tokens[0, 3 * x + z])
    widths = [maps[name].shape[1] for name in names if name.count("/") == 1 and name[-1].isdecimal()]
    assert widths == [2, 16, 8, 8, 8, 6, 4, 3, 2]
    assert logits.shape == (1, 3, 32, 16, 48)


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ValueError, match=r"hidden_size \(10\) must be divisible by heads \(12\)"):
        TransUNet(2, 1, 2, (32, 32), hidden_size=10)
    with pytest.raises(ValueError, match="32 x 48"):
        TransUNet(2, 1, 2, (40, 48))
    with pytest.raises(ValueError, match="built for images of 32 x 16"):
        TransUNet(2, 1, 2, (32, 16), **SMALL)(torch.zeros(1, 1, 32, 32))
