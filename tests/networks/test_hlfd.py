"""HLFD's teacher and student: the published sizes, the wiring, and the feature maps by their paper names."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from segdistill.cost import count
from segdistill.networks import NETWORKS, catch, resolve, stage_names
from segdistill.networks.resnet18_student import ResNet18Student
from segdistill.networks.unet_plus_plus import UNetPlusPlus

INPUT = (1, 384, 384)
# Feature name -> (stage, channels, side at 384 x 384).
TEACHER = {
    "e1": ("encoder/2/x10", 128, 192),
    "e2": ("encoder/4/x20", 256, 96),
    "e3": ("encoder/2/x11", 128, 192),
    "e4": ("encoder/8/x30", 512, 48),
    "e5": ("encoder/16/x40", 1024, 24),
    "d5": ("decoder/1/x01", 64, 384),
    "d4": ("decoder/1/x02", 64, 384),
    "d3": ("decoder/1/x03", 64, 384),
    "d2": ("decoder/2/x13", 128, 192),
}
STUDENT = {
    "e1": ("encoder/2", 64, 192),
    "e2": ("encoder/4", 64, 96),
    "e3": ("encoder/8", 128, 48),
    "e4": ("encoder/16", 256, 24),
    "e5": ("encoder/32", 512, 12),
    "d5": ("decoder/1/layer3", 256, 384),
    "d4": ("decoder/1/layer2", 128, 384),
    "d3": ("decoder/1/layer1", 64, 384),
    "d2": ("decoder/1/stem", 64, 384),
}


def upsampled(x: Tensor, factor: int) -> Tensor:
    return interpolate(x, scale_factor=factor, mode="bilinear", align_corners=True)


def linear_weight(position: int, source: int, size: int, length: int) -> float:
    """Share of `source` of `length` in `position` of `size`, where the first and the last of both coincide."""
    return max(0.0, 1 - abs(position * (length - 1) / (size - 1) - source))


def in_loops(x: Tensor, factor: int) -> Tensor:
    """Linear upsampling of a (1, C, H, W) map with corners aligned, voxel by voxel."""
    _, channels, rows, columns = x.shape
    out = torch.zeros(1, channels, rows * factor, columns * factor)
    for i in range(rows * factor):
        for j in range(columns * factor):
            for a in range(rows):
                for b in range(columns):
                    share = linear_weight(i, a, rows * factor, rows)
                    share *= linear_weight(j, b, columns * factor, columns)
                    out[0, :, i, j] += share * x[0, :, a, b]
    return out


@pytest.mark.parametrize(
    ("name", "parameters", "gmacs", "thop"),
    [("unet_plus_plus", 36_628_546, 309.95, 311.83), ("resnet18_student", 11_177_538, 5.33, 5.36)],
)
def test_published_size(name: str, parameters: int, gmacs: float, thop: float) -> None:
    with torch.device("meta"):
        network = NETWORKS[name].part(2, 1, 2)
    counts = count(network, INPUT)
    assert counts.parameters == counts.thop_parameters == parameters
    assert counts.macs / 1e9 == pytest.approx(gmacs, abs=0.01)
    assert counts.thop_macs / 1e9 == pytest.approx(thop, abs=0.01)


@pytest.mark.parametrize(("name", "features"), [("unet_plus_plus", TEACHER), ("resnet18_student", STUDENT)])
def test_the_feature_maps_of_the_paper(name: str, features: dict[str, tuple[str, int, int]]) -> None:
    with torch.device("meta"):
        network = NETWORKS[name].part(2, 1, 2).eval()
    with torch.no_grad(), catch(network, [stage for stage, _, _ in features.values()]) as maps:
        network(torch.empty(1, *INPUT, device="meta"))
    for feature, (stage, channels, side) in features.items():
        assert resolve(network, stage) == stage, feature
        assert maps[stage].shape == (1, channels, side, side), feature


def test_each_node_is_made_of_its_row_and_the_one_below() -> None:
    torch.manual_seed(0)
    network = UNetPlusPlus(2, 1, 2, filters=2).eval()
    image = torch.randn(1, 1, 32, 16)
    names = {name.rsplit("/", 1)[1]: name for name in stage_names(network) if name.count("/") == 2}
    assert len(names) == 15
    with torch.no_grad(), catch(network, names.values()) as maps:
        logits = network(image)
    node = {short: maps[name] for short, name in names.items()}
    with torch.no_grad():
        for level in range(5):
            for column in range(5 - level):
                if level == column == 0:
                    inputs = image
                elif column == 0:
                    inputs = max_pool2d(node[f"x{level - 1}0"], 2)
                else:
                    row = [node[f"x{level}{j}"] for j in range(column)]
                    inputs = torch.cat([*row, upsampled(node[f"x{level + 1}{column - 1}"], 2)], 1)
                torch.testing.assert_close(
                    node[f"x{level}{column}"], network.nodes[f"x{level}{column}"](inputs)
                )
        torch.testing.assert_close(logits, network.heads[0](node["x04"]))


def test_a_name_without_a_node_is_the_last_of_its_side_and_stride() -> None:
    network = UNetPlusPlus(2, 1, 2, filters=1)
    table = network.stages()
    last = {
        "encoder/1": "x00", "encoder/2": "x11", "encoder/4": "x20", "encoder/8": "x30", "encoder/16": "x40",
        "decoder/8": "x31", "decoder/4": "x22", "decoder/2": "x13", "decoder/1": "x04",
    }  # fmt: skip
    for bare, node in last.items():
        assert table[bare] == table[f"{bare}/{node}"] == (network.nodes[node], None)
    assert table[resolve(network, "encoder/deepest")][0] is network.nodes["x40"]
    assert table[resolve(network, "decoder/last")][0] is network.nodes["x04"]


def test_the_heads_of_unet_plus_plus_follow_its_last_node_backwards() -> None:
    torch.manual_seed(0)
    network = UNetPlusPlus(2, 1, 2, filters=2, deep_supervision=True).train()
    names = [f"decoder/1/x0{column}" for column in (4, 3, 2, 1)]
    with torch.no_grad(), catch(network, names) as maps:
        logits = network(torch.randn(2, 1, 32, 16))
    assert len(logits) == 4
    for head, name, made in zip(network.heads, names, logits, strict=True):
        torch.testing.assert_close(head(maps[name]), made)


def test_resnet_reads_grey_images_as_three_equal_channels() -> None:
    torch.manual_seed(0)
    grey, colour = ResNet18Student(2, 1, 2, filters=2).eval(), ResNet18Student(2, 3, 2, filters=2).eval()
    colour.load_state_dict(grey.state_dict())
    image = torch.randn(1, 1, 64, 32)
    with torch.no_grad():
        assert torch.equal(grey(image), colour(image.repeat(1, 3, 1, 1)))
    assert ResNet18Student(2, 2, 2, filters=2).trunk.conv1.in_channels == 2


def test_resnets_decoder_stages_are_its_encoders_maps_at_full_size() -> None:
    torch.manual_seed(0)
    network = ResNet18Student(2, 1, 2, filters=2).eval()
    sources = {"stem": "encoder/2", "layer1": "encoder/4", "layer2": "encoder/8", "layer3": "encoder/16"}
    with torch.no_grad(), catch(network, stage_names(network)) as maps:
        logits = network(torch.randn(1, 1, 64, 32))
    for node, source in sources.items():
        factor = int(source.removeprefix("encoder/"))
        torch.testing.assert_close(maps[f"decoder/1/{node}"], upsampled(maps[source], factor))
    torch.testing.assert_close(
        maps["decoder/1/layer3"], in_loops(maps["encoder/16"], 16), rtol=1e-4, atol=1e-5
    )
    assert torch.equal(maps["decoder/last"], maps["decoder/1/stem"])
    torch.testing.assert_close(
        logits, in_loops(network.out(maps["encoder/32"]).detach(), 32), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", ["unet_plus_plus", "resnet18_student"])
@pytest.mark.parametrize("dims", [2, 3])
def test_a_batch_of_one_trains(name: str, dims: int) -> None:
    network = NETWORKS[name].part(dims, 1, 2, filters=1).train()
    step = network.divisible_by
    logits = network(torch.randn(1, 1, 2 * step, *[step] * (dims - 1)))
    assert torch.isfinite(logits).all()
    with pytest.raises(ValueError, match="more than one voxel"):
        network(torch.randn(1, 1, *[step] * dims))
