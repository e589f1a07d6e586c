"""Swin-Unet: the published size, patch expanding voxel by voxel, and what feeds the decoder."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from segdistill.cost import count
from segdistill.networks import catch, stage_names
from segdistill.networks.blocks.patch_expand import PatchExpand
from segdistill.networks.swin_unet import SwinUnet

TINY = {"feature_size": 8, "depths": (1, 2, 1, 1), "heads": (1, 2, 2, 4), "window": 3}


# Nine classes of Synapse, four of ACDC; single channels are repeated to three in the authors' code.
@pytest.mark.parametrize(("classes", "parameters"), [(9, 27_168_900), (4, 27_168_420)])
def test_the_published_size(classes: int, parameters: int) -> None:
    with torch.device("meta"):
        network = SwinUnet(2, 3, classes)
    counts = count(network, (3, 224, 224))
    assert counts.parameters == parameters
    assert counts.macs / 1e9 == pytest.approx(6.1098 - (9 - classes) * 96 * 224**2 / 1e9, abs=5e-5)


def test_the_published_size_with_the_channels_given() -> None:
    with torch.device("meta"):
        one = SwinUnet(2, 1, 9)
    assert sum(p.numel() for p in one.parameters()) == 27_168_900 - 2 * 4**2 * 96


@pytest.mark.parametrize(("spatial_dims", "factor"), [(2, 2), (2, 4), (3, 2)])
def test_patch_expanding_against_naive_loops(spatial_dims: int, factor: int) -> None:
    torch.manual_seed(0)
    size = (3, 2, 4)[:spatial_dims]
    layer = PatchExpand(spatial_dims, 6, 5, factor)
    x = torch.randn(2, *size, 6)
    expected = torch.zeros(2, *(factor * n for n in size), 5)
    tokens = layer.linear(x)
    for place in product(*map(range, size)):
        for cell, offset in enumerate(product(range(factor), repeat=spatial_dims)):
            voxel = tuple(factor * p + o for p, o in zip(place, offset, strict=True))
            expected[(slice(None), *voxel)] = tokens[(slice(None), *place)][:, 5 * cell : 5 * cell + 5]
    torch.testing.assert_close(layer(x), layer.norm(expected))


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_each_level_has_its_size_and_width(spatial_dims: int) -> None:
    image = torch.randn(1, 2, *(96, 64, 32)[:spatial_dims])  # windows of 3 fit none of 24, 16, 8 alike
    maps = caught(SwinUnet(spatial_dims, 2, 3, **TINY), image)
    for name, x in maps.items():
        stride = 1 if name == "logits" else int(name.split("/")[1])
        assert tuple(x.shape[2:]) == tuple(n // stride for n in image.shape[2:]), name
        width = {"logits": 3, "decoder/1": 8}.get(name, 8 * stride // 4)
        assert x.shape[1] == width, name


def test_the_decoder_is_fed_by_what_goes_into_the_encoders_blocks() -> None:
    network = SwinUnet(2, 1, 2, **TINY)
    maps = caught(network, torch.randn(1, 1, 64, 96))
    last = maps["encoder/32"]
    for i, (skip, out) in enumerate([("16/merge", "16"), ("8/merge", "8"), ("4/embed", "4")]):
        with torch.no_grad():
            up = network.expand[i](last.movedim(1, -1))
            x = network.fuse[i](torch.cat([up, maps[f"encoder/{skip}"].movedim(1, -1)], dim=-1))
            last = network.decoder[i](x.movedim(-1, 1))
        if out != "4":
            torch.testing.assert_close(maps[f"decoder/{out}"], last)
    normal = network.norm_up(last.movedim(1, -1)).movedim(-1, 1)
    torch.testing.assert_close(maps["decoder/4"], normal)
    torch.testing.assert_close(maps["logits"], network.out(maps["decoder/1"]))


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_every_voxel_of_a_merged_cell_counts(spatial_dims: int) -> None:
    torch.manual_seed(0)
    merging = SwinUnet(spatial_dims, 1, 2, **TINY).encoder[0].downsample
    x = torch.randn(1, *(2,) * spatial_dims, 8, requires_grad=True)
    merging(x)[..., 0].sum().backward()
    assert x.grad is not None and x.grad.abs().flatten(1, -2).sum(-1).gt(0).all()


def test_stochastic_depth_grows_along_the_encoder_and_acts_in_training_only() -> None:
    network = SwinUnet(2, 1, 2, **TINY, drop_path=0.4)

    def rates(stages: object) -> list[float]:
        return [getattr(block.drop_path, "drop_prob", 0.0) for stage in stages for block in stage.blocks]

    assert rates(network.encoder) == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert rates(network.decoder) == pytest.approx([0.3, 0.1, 0.2, 0.0])
    image = torch.randn(8, 1, 64, 32)
    assert not torch.equal(network.train()(image), network(image))
    assert torch.equal(network.eval()(image), network(image))


def test_widths_that_the_heads_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match=r"swin_unet: stage widths.*3 does not divide"):
        SwinUnet(2, 1, 2, feature_size=32)


def caught(network: SwinUnet, image: Tensor) -> dict[str, Tensor]:
    """Every stage of the network but the aliases, in evaluation mode."""
    names = [name for name in stage_names(network) if name not in ("encoder/deepest", "decoder/last")]
    with torch.no_grad(), catch(network, names) as maps:
        network.eval()(image)
    return maps
