"""What is particular to one family: the stages of Teach-Former, the paper's block, MONAI's twin."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import SwinUNETR as MonaiSwinUNETR
from torch import nn

from segdistill.networks import NETWORKS, catch
from segdistill.networks.blocks.dense_transformer import DenseBlock, InnerLayer
from segdistill.networks.h_denseformer import HDenseFormer
from segdistill.networks.swin_unetr import SwinUNETR
from segdistill.networks.unetr import UNETR
from segdistill.networks.ux_net import UXNet


def caught(network: nn.Module, image: torch.Tensor, *names: str) -> dict[str, torch.Tensor]:
    with torch.no_grad(), catch(network, names) as maps:
        network.eval()(image)
    return maps


def test_h_denseformers_branches_are_one_a_modality_and_come_before_the_deep_convolution() -> None:
    network = HDenseFormer(3, 2, 2, (32, 32, 32), filters=4, depth=4)
    image = torch.randn(1, 2, 32, 32, 32)
    maps = caught(network, image, "encoder/16", "encoder/8")
    assert maps["encoder/16"].shape == (1, 2 * 4 * 4, 2, 2, 2)
    assert maps["encoder/8"].shape == (1, 8 * 4, 4, 4, 4)
    first, second = maps["encoder/16"].chunk(2, dim=1)
    image[:, 1] += 1
    changed_first, changed_second = caught(network, image, "encoder/16")["encoder/16"].chunk(2, dim=1)
    assert torch.equal(changed_first, first)
    assert not torch.allclose(changed_second, second)


def test_h_denseformers_fusion_is_added_to_each_encoder_level() -> None:
    network = HDenseFormer(2, 1, 2, (32, 32), filters=3, depth=4).eval()
    image = torch.randn(1, 1, 32, 32)
    maps = caught(network, image, "encoder/1", "encoder/16", "encoder/8", "encoder/4")
    with torch.no_grad():
        fused = [maps["encoder/16"]]
        for unit in network.fusion:
            fused.append(unit(fused[-1]))
        torch.testing.assert_close(maps["encoder/1"], network.encoder[0](image) + fused[4])
        torch.testing.assert_close(
            maps["encoder/8"], network.encoder[3](network.pool(maps["encoder/4"])) + fused[1]
        )


@pytest.mark.parametrize("width", [8, 128])
def test_a_dense_block_has_the_published_number_of_parameters(width: int) -> None:
    assert sum(p.numel() for p in DenseBlock(width, 0.0).parameters()) == 257 * width + 48_320


def test_an_inner_layer_against_naive_loops() -> None:
    torch.manual_seed(0)
    layer = InnerLayer(5, 0.0).eval()
    tokens = torch.randn(1, 3, 5)
    x = layer.reduce(tokens)
    qkv = layer.attention.qkv(layer.attention_norm(x))[0]
    mixed = torch.zeros(3, 32)
    for head in range(8):
        for i in range(3):
            query = qkv[i, 4 * head : 4 * head + 4]
            scores = torch.stack([query @ qkv[j, 32 + 4 * head : 36 + 4 * head] / 2 for j in range(3)])
            shares = scores.exp() / scores.exp().sum()
            values = [shares[j] * qkv[j, 64 + 4 * head : 68 + 4 * head] for j in range(3)]
            mixed[i, 4 * head : 4 * head + 4] = torch.stack(values).sum(0)
    x = x + layer.attention.projection(mixed)
    x = x + layer.mlp(layer.mlp_norm(x))
    torch.testing.assert_close(layer(tokens), layer.mlp(layer.mlp_norm(x)), rtol=1e-4, atol=1e-5)


def test_dropout_acts_in_training_only() -> None:
    network = HDenseFormer(2, 1, 2, (32, 32), filters=2, depth=4, dropout=0.5, deep_supervision=False)
    image = torch.randn(1, 1, 32, 32)
    assert not torch.equal(network.train()(image), network(image))
    assert torch.equal(network.eval()(image), network(image))


@pytest.mark.parametrize("depth", [0, 6])
def test_a_depth_that_is_no_number_of_blocks_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match="blocks of four"):
        HDenseFormer(2, 1, 2, (32, 32), depth=depth)


@pytest.mark.parametrize("family", [HDenseFormer, UNETR])
def test_an_image_size_that_does_not_fit_is_refused_at_construction(family: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match="32 x 48"):
        family(2, 1, 2, (40, 48))
    with pytest.raises(ValueError, match="3 spatial dimensions"):
        family(3, 1, 2, (32, 32))


def test_monais_variant_is_monais_network() -> None:
    torch.manual_seed(0)
    theirs = MonaiSwinUNETR(2, 3, feature_size=12, depths=(1, 1, 1, 1), spatial_dims=2).eval()
    ours = SwinUNETR(2, 2, 3, variant="monai", feature_size=12, depths=(1, 1, 1, 1)).eval()
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(1, 2, 64, 32)
    with torch.no_grad():
        assert torch.equal(ours(image), theirs(image))


def test_the_papers_swin_reads_the_raw_map_at_an_eighth_and_a_block_at_a_sixteenth() -> None:
    network = SwinUNETR(2, 1, 2, feature_size=6, depths=(1, 1, 1, 1), heads=(1, 2, 2, 2))
    names = ("encoder/8", "encoder/8/stage", "encoder/16", "encoder/16/stage")
    maps = caught(network, torch.randn(1, 1, 48, 32), *names)  # 48 = 3 x 16: not divisible by 32
    assert torch.equal(maps["encoder/8"], maps["encoder/8/stage"])
    with torch.no_grad():
        torch.testing.assert_close(maps["encoder/16"], network.encoder10(maps["encoder/16/stage"]))
    assert maps["encoder/16"].shape == (1, 48, 3, 2)


def test_dropping_swins_unused_stage_changes_no_answer() -> None:
    torch.manual_seed(0)
    small = {"feature_size": 6, "depths": (1, 1, 1, 1), "heads": (1, 2, 2, 2)}
    kept, dropped = SwinUNETR(2, 1, 2, **small), SwinUNETR(2, 1, 2, **small, unused_stage=False)
    left = {name: t for name, t in kept.state_dict().items() if not name.startswith("swinViT.layers4")}
    dropped.load_state_dict(left)
    image = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(kept.eval()(image), dropped.eval()(image))


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="divisible by heads"):
        SwinUNETR(3, 1, 2, feature_size=10)
    with pytest.raises(ValueError, match=r"hidden_size \(10\) must be divisible by heads \(12\)"):
        UNETR(2, 1, 2, (32, 32), hidden_size=10)


def test_unetrs_deepest_stage_is_the_transformers_output_in_its_place() -> None:
    network = UNETR(2, 1, 2, (32, 64), feature_size=2, hidden_size=8, mlp_size=8, heads=2)
    image = torch.randn(1, 1, 32, 64)
    tokens: list[torch.Tensor] = []
    handle = network.network.vit.register_forward_hook(lambda m, i, o: tokens.append(o[0]))
    deepest = caught(network, image, "encoder/16")["encoder/16"]
    handle.remove()
    for row in range(2):
        for column in range(4):
            assert torch.equal(deepest[0, :, row, column], tokens[0][0, 4 * row + column])


def test_ux_nets_deepest_stage_is_the_block_over_the_raw_map() -> None:
    network = UXNet(2, 1, 2, feature_sizes=(2, 3, 4, 6), hidden_size=8, depths=(1, 1, 1, 1))
    maps = caught(network, torch.randn(1, 1, 32, 32), "encoder/16", "encoder/16/stage", "encoder/deepest")
    assert maps["encoder/16/stage"].shape[1] == 6
    assert maps["encoder/16"].shape[1] == 8
    assert maps["encoder/deepest"] is maps["encoder/16"]
    with torch.no_grad():
        torch.testing.assert_close(maps["encoder/16"], network.encoder[4](maps["encoder/16/stage"]))


def test_the_unets_width_and_depth_are_free() -> None:
    unet = NETWORKS["unet"].part
    assert unet(2, 1, 2, channels=(3, 5)).divisible_by == 2
    network = unet(3, 1, 4, channels=(2, 2, 3, 4), convolutions=3, dropout=0.2)
    assert network(torch.randn(1, 1, 16, 8, 8)).shape == (1, 4, 16, 8, 8)
    with_few = sum(p.numel() for p in unet(2, 1, 2, channels=(8, 16, 32)).parameters())
    with_many = sum(p.numel() for p in unet(2, 1, 2, channels=(8, 16, 32), convolutions=3).parameters())
    assert with_few < with_many
