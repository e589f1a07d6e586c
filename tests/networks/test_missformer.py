"""MISSFormer: the published size, and its attention, bridge and decoder against plain compositions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import gelu

from segdistill.cost import count
from segdistill.networks import catch, stage_names
from segdistill.networks.blocks.context_bridge import BridgeLayer, join, part
from segdistill.networks.blocks.efficient_transformer import Attention, EfficientSelfAttention, EnhancedMixFFN
from segdistill.networks.missformer import MISSFormer

TINY = {"dims": (8, 16, 8, 24), "depths": (1, 2, 1, 1), "heads": (1, 2, 4, 2), "bridge_depth": 2}


def test_the_published_size() -> None:
    with torch.device("meta"):
        network, used = MISSFormer(2, 3, 9), MISSFormer(2, 3, 9, unused_layers=False)
    counts = count(network, (3, 224, 224))
    assert counts.parameters == 42_462_537  # printed 42.46 M
    assert counts.macs / 1e9 == pytest.approx(7.998, abs=5e-4)
    unused = sum(p.numel() for name, p in network.named_parameters() if "unused." in name)
    assert unused == 7_009_792
    assert sum(p.numel() for p in used.parameters()) == counts.parameters - unused
    assert count(used, (3, 224, 224)).macs == counts.macs


def test_another_number_of_channels_and_classes() -> None:
    with torch.device("meta"):
        network = MISSFormer(2, 1, 4)
    expected = 42_462_537 - 2 * 7**2 * 64 - 5 * 65
    assert sum(p.numel() for p in network.parameters()) == expected


def test_unused_layers_change_nothing_but_the_count() -> None:
    full, light = MISSFormer(2, 1, 2, **TINY).eval(), MISSFormer(2, 1, 2, **TINY, unused_layers=False).eval()
    found = light.load_state_dict(full.state_dict(), strict=False)
    assert not found.missing_keys and all("unused." in key for key in found.unexpected_keys)
    image = torch.randn(1, 1, 32, 64)
    with torch.no_grad():
        assert torch.equal(full(image), light(image))


def test_attention_against_naive_loops() -> None:
    torch.manual_seed(0)
    layer = Attention(6, heads=2)
    tokens, context = torch.randn(1, 4, 6), torch.randn(1, 3, 6)
    torch.testing.assert_close(layer(tokens, context), naive_attention(layer, tokens, context))


@pytest.mark.parametrize("size", [(4, 6), (4, 2, 6)])
def test_efficient_attention_looks_at_the_shrunken_map(size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = EfficientSelfAttention(len(size), 6, heads=2, reduction=2)
    x = torch.randn(2, *size, 6)
    small = layer.reduce(x.movedim(-1, 1)).flatten(2).transpose(1, 2)
    expected = naive_attention(layer.attention, x.reshape(2, -1, 6), layer.norm(small))
    torch.testing.assert_close(layer(x), expected.reshape(x.shape))


def test_the_bridge_cuts_voxels_to_tokens_of_the_first_width_and_back() -> None:
    maps = [torch.randn(2, 4, 2, 3), torch.randn(2, 2, 1, 9)]
    tokens = join(maps, 3)
    assert tokens.shape == (2, 8 + 6, 3)
    assert torch.equal(tokens[0, 5], maps[0][0, 2, 1])
    assert torch.equal(tokens[1, 8 + 4], maps[1][1, 1, 0, 3:6])
    assert all(torch.equal(a, b) for a, b in zip(part(tokens, [x.shape for x in maps]), maps, strict=True))


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_bridge_layer_against_a_plain_composition(spatial_dims: int) -> None:
    torch.manual_seed(0)
    dims, reductions = (4, 8, 4, 12), (8, 4, 2, 1)
    layer = BridgeLayer(spatial_dims, dims, reductions, unused=False)
    grid = (1, 2, 1)[:spatial_dims]
    maps = [torch.randn(1, *(r * n for n in grid), d) for d, r in zip(dims, reductions, strict=True)]

    def tokens_of(maps: list[Tensor]) -> Tensor:
        voxels = [x.flatten(1, -2) for x in maps]
        return torch.cat([piece for x in voxels for voxel in x.unbind(1) for piece in voxel.split(4, -1)])[
            None
        ]

    normal = [torch.cat([layer.attention_norm(p) for p in x.split(4, -1)], dim=-1) for x in maps]
    shrunk = [
        c(x.movedim(-1, 1)).movedim(1, -1) for c, x in zip(layer.shrink.convolutions, normal, strict=True)
    ]
    shrunk[3] = normal[3]
    tokens = tokens_of(maps)
    mixed = tokens + naive_attention(layer.attention, tokens_of(normal), layer.shrink.norm(tokens_of(shrunk)))

    expected, start = [], 0
    for ffn, x in zip(layer.ffns, maps, strict=True):
        length = x.numel() // 4
        mine = mixed[:, start : start + length]
        grown = ffn(layer.ffn_norm(mine).reshape(x.shape)).reshape(mine.shape)
        expected.append(mine + grown)
        start += length
    torch.testing.assert_close(layer(tokens, [x.shape for x in maps]), torch.cat(expected, dim=1))


def test_the_mix_ffn_adds_its_depthwise_convolution_before_the_norm() -> None:
    torch.manual_seed(0)
    ffn = EnhancedMixFFN(2, 3, unused=False)
    x = torch.randn(1, 2, 4, 3)
    hidden = ffn.expand(x)
    weight, padded = ffn.depthwise.weight, torch.nn.functional.pad(hidden, (0, 0, 1, 1, 1, 1))
    mixed = hidden + ffn.depthwise.bias
    for i in range(3):
        for j in range(3):
            mixed = mixed + padded[:, i : i + 2, j : j + 4] * weight[:, 0, i, j]
    torch.testing.assert_close(ffn(x), ffn.reduce(gelu(ffn.norm(mixed))))


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_each_level_has_its_size_and_width(spatial_dims: int) -> None:
    image = torch.randn(1, 2, *(96, 64, 32)[:spatial_dims])
    maps = caught(MISSFormer(spatial_dims, 2, 3, **TINY), image)
    for name, x in maps.items():
        stride = 1 if name == "logits" else int(name.split("/")[1])
        assert tuple(x.shape[2:]) == tuple(n // stride for n in image.shape[2:]), name
        width = {"logits": 3, "decoder/1": 8}.get(name) or dict(
            zip((4, 8, 16, 32), TINY["dims"], strict=True)
        )[stride]
        assert x.shape[1] == width, name


def test_the_bridged_maps_and_not_the_encoders_feed_the_decoder() -> None:
    network = MISSFormer(2, 1, 2, **TINY)
    maps = caught(network, torch.randn(1, 1, 64, 96))
    last = maps["encoder/32"]
    assert not torch.allclose(last, maps["encoder/32/stage"])
    with torch.no_grad():
        for i, stride in enumerate((16, 8, 4)):
            skip = maps[f"encoder/{stride}"].movedim(1, -1)
            x = network.decoder[i](torch.cat([network.expand[i](last.movedim(1, -1)), skip], dim=-1))
            last = x.movedim(-1, 1)
            torch.testing.assert_close(maps[f"decoder/{stride}"], last)
        torch.testing.assert_close(maps["logits"], network.out(maps["decoder/1"]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dims": (8, 12, 8, 8)}, "12 is not divisible by 8"),
        ({"heads": (1, 3, 5, 8)}, "128 is not divisible by 3"),
        ({"dims": (5, 5, 10, 10), "heads": (1, 1, 1, 1)}, "5 must be even"),
    ],
)
def test_widths_that_do_not_go_together_are_refused(
    settings: dict[str, tuple[int, ...]], message: str
) -> None:
    with pytest.raises(ValueError, match=f"missformer: .*{message}"):
        MISSFormer(2, 1, 2, **settings)


def naive_attention(layer: Attention, tokens: Tensor, context: Tensor) -> Tensor:
    """The attention's result, token by token and head by head."""
    width = tokens.shape[-1]
    size = width // layer.heads
    query, both = layer.query(tokens), layer.key_value(context)
    out = torch.zeros_like(tokens)
    for b in range(tokens.shape[0]):
        for head in range(layer.heads):
            here = slice(head * size, (head + 1) * size)
            keys, values = both[b, :, :width][:, here], both[b, :, width:][:, here]
            for i in range(tokens.shape[1]):
                scores = (keys @ query[b, i, here] / size**0.5).exp()
                out[b, i, here] = (scores / scores.sum()) @ values
    return layer.projection(out)


def caught(network: MISSFormer, image: Tensor) -> dict[str, Tensor]:
    """Every stage of the network but the aliases, in evaluation mode."""
    names = [name for name in stage_names(network) if name not in ("encoder/deepest", "decoder/last")]
    with torch.no_grad(), catch(network, names) as maps:
        network.eval()(image)
    return maps
