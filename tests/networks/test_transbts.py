"""TransBTS: its published sizes, its blocks, and what acts in training only."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from segdistill.cost import Counts, count
from segdistill.networks import catch, stage_names
from segdistill.networks.blocks.token_transformer import Layer
from segdistill.networks.blocks.transformer_bottleneck import PreActivationBlock, Up
from segdistill.networks.transbts import TransBTS

SMALL: dict[str, Any] = {
    "filters": 2,
    "blocks": (1, 1, 1, 1),
    "hidden_size": 8,
    "mlp_size": 6,
    "heads": 2,
    "layers": 1,
}


def counts_of(in_channels: int, out_channels: int, side: int, **settings: Any) -> Counts:
    with torch.device("meta"):
        network = TransBTS(3, in_channels, out_channels, (side,) * 3, **settings)
    return count(network, (in_channels, side, side, side))


def test_the_size_that_h_denseformers_paper_prints() -> None:
    counts = counts_of(2, 2, 144)
    assert counts.thop_parameters / 1e6 == pytest.approx(30.624, abs=5e-4)
    assert counts.thop_macs / 1e9 == pytest.approx(372.797, abs=5e-4)


def test_the_size_that_its_own_paper_prints() -> None:
    counts = counts_of(4, 4, 128)
    assert counts.parameters == 32_987_588
    # Attention's products of four layers over 16^3 tokens, which thop does not count; printed: 333 G.
    assert (counts.thop_macs + 4 * 2 * 4096**2 * 512) / 1e9 == pytest.approx(333, rel=2e-3)


def test_the_unused_layers_are_a_norm_and_an_embedding() -> None:
    with_them, without = counts_of(4, 4, 128), counts_of(4, 4, 128, unused_layers=False)
    assert without.parameters == 32_723_908
    assert with_them.parameters - without.parameters == 2 * 512 + (128 * 4 * 512 + 512)
    assert with_them.macs == without.macs
    torch.manual_seed(0)
    kept, dropped = (
        TransBTS(2, 1, 2, (16, 16), **SMALL, unused_layers=flag).eval() for flag in (True, False)
    )
    dropped.load_state_dict({name: t for name, t in kept.state_dict().items() if "unused" not in name})
    image = torch.randn(1, 1, 16, 16)
    with torch.no_grad():
        assert torch.equal(kept(image), dropped(image))


def test_a_residual_block_and_a_step_up_against_plain_layers() -> None:
    torch.manual_seed(0)
    block = PreActivationBlock(2, 12)
    x = torch.randn(1, 12, 5, 4)
    first, _, one, second, _, two = block.layers
    assert first.num_groups == second.num_groups == 4  # eight do not divide 12
    torch.testing.assert_close(block(x), x + two(second(one(first(x).relu())).relu()))
    up = Up(2, 12, 6).eval()
    skip = torch.randn(1, 6, 10, 8)
    joined = up.fuse(torch.cat([skip, up.up(x)], dim=1))
    torch.testing.assert_close(up(x, skip), joined + up.block.layers(joined))


def test_a_transformer_layer_against_naive_loops() -> None:
    torch.manual_seed(0)
    layer = Layer(6, 2, 5, False, 0.1, 0.1, 1e-5).eval()
    tokens = torch.randn(1, 4, 6)
    qkv = layer.attention.qkv(layer.attention_norm(tokens))[0]
    mixed = torch.zeros(4, 6)
    for head in range(2):
        part = slice(3 * head, 3 * head + 3)
        query, key, value = qkv[:, :6][:, part], qkv[:, 6:12][:, part], qkv[:, 12:][:, part]
        for i in range(4):
            shares = torch.stack([query[i] @ key[j] / 3**0.5 for j in range(4)]).exp()
            mixed[i, part] = sum(share * value[j] for j, share in enumerate(shares / shares.sum()))
    x = tokens + layer.attention.out_proj(mixed)
    mlp = layer.mlp
    x = x + mlp.linear2(nn.functional.gelu(mlp.linear1(layer.mlp_norm(x))))
    torch.testing.assert_close(layer(tokens), x, rtol=1e-4, atol=1e-5)


def test_the_stages_of_an_image_with_unequal_sides() -> None:
    network = TransBTS(3, 2, 3, (16, 8, 24), **SMALL).eval()
    with torch.no_grad(), catch(network, stage_names(network)) as maps:
        network(torch.randn(1, 2, 16, 8, 24))
    shapes = {name: tuple(maps[name].shape[1:]) for name in stage_names(network)}
    assert shapes["encoder/1"] == shapes["decoder/1"] == (2, 16, 8, 24)
    assert shapes["encoder/4"] == shapes["decoder/4"] == (8, 4, 2, 6)
    assert shapes["encoder/8/residual"] == (16, 2, 1, 3)
    assert shapes["encoder/8"] == shapes["encoder/deepest"] == (8, 2, 1, 3)
    assert shapes["decoder/8"] == (2, 2, 1, 3)


def test_dropout_acts_in_training_only() -> None:
    network = TransBTS(2, 1, 2, (16, 16), **SMALL, stem_dropout=0.5)
    image = torch.randn(1, 1, 16, 16)
    torch.manual_seed(0)
    assert not torch.equal(network.train()(image), network(image))
    assert torch.equal(network.eval()(image), network(image))


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ValueError, match=r"hidden_size \(12\) must be divisible by heads \(8\)"):
        TransBTS(3, 1, 2, (16, 16, 16), hidden_size=12)
    with pytest.raises(ValueError, match=r"narrowing to a quarter \(4\)"):
        TransBTS(3, 1, 2, (16, 16, 16), hidden_size=6, heads=2)
    with pytest.raises(ValueError, match="16 x 24"):
        TransBTS(2, 1, 2, (20, 24))
