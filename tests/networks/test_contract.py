"""What every network of the table promises, checked over the whole table at tiny sizes in 2-D and 3-D."""

from __future__ import annotations

from copy import deepcopy
from fnmatch import fnmatch
from math import ceil, prod
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from segdistill.networks import NETWORKS, catch, stage_names, stride_of
from segdistill.networks.stages import resolve
from segdistill.parts import complete

# Name of the case -> (network, its smallest settings).
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "unet": ("unet", {"channels": (2, 3, 4), "convolutions": 1}),
    "unet, deep supervision": ("unet", {"channels": (2, 3, 4), "deep_supervision": True}),
    "h_denseformer": ("h_denseformer", {"filters": 2, "depth": 4, "dropout": 0.0}),
    "h_denseformer, one head": (
        "h_denseformer",
        {"filters": 2, "depth": 4, "dropout": 0.0, "deep_supervision": False},
    ),
    "swin_unetr, paper": (
        "swin_unetr",
        {"feature_size": 6, "depths": (2, 1, 1, 1), "heads": (1, 2, 2, 2), "window": 3},
    ),
    "swin_unetr, fourth stage dropped": (
        "swin_unetr",
        {"feature_size": 6, "depths": (1, 1, 1, 1), "heads": (1, 2, 2, 2), "unused_stage": False},
    ),
    "swin_unetr, monai": (
        "swin_unetr",
        {"feature_size": 6, "depths": (1, 1, 1, 1), "heads": (1, 2, 2, 2), "variant": "monai"},
    ),
    "unetr": ("unetr", {"feature_size": 2, "hidden_size": 8, "mlp_size": 8, "heads": 2}),
    "ux_net": ("ux_net", {"feature_sizes": (2, 3, 4, 6), "hidden_size": 8, "depths": (1, 1, 1, 1)}),
    "unet_plus_plus": ("unet_plus_plus", {"filters": 2}),
    "unet_plus_plus, deep supervision": ("unet_plus_plus", {"filters": 2, "deep_supervision": True}),
    "resnet": ("resnet", {"filters": 2}),
    "resnet, 34": ("resnet", {"filters": 2, "depth": 34}),
}
# Parameters that get no gradient, and are documented to.
WITHOUT_GRADIENT = {
    "h_denseformer, one head": ["heads.[123].*"],
    "swin_unetr, paper": ["swinViT.layers4.*"],
    "unetr": ["network.vit.blocks.*.norm_cross_attn.*"],
}
IN_CHANNELS, CLASSES = 2, 3


def size_of(network: str, spatial_dims: int) -> tuple[int, ...]:
    """The smallest anisotropic size that fits."""
    steps = {"unet": 4, "swin_unetr, monai": 32, "resnet": 32, "resnet, 34": 32}
    step = steps.get(network.split(", deep")[0], 16)
    return (2 * step, step, step)[:spatial_dims]


def build(case: str, spatial_dims: int) -> nn.Module:
    torch.manual_seed(0)
    name, settings = CASES[case]
    if name in ("h_denseformer", "unetr"):
        settings = {**settings, "image_size": size_of(case, spatial_dims)}
    return NETWORKS[name].part(spatial_dims, IN_CHANNELS, CLASSES, **settings)


def image_for(case: str, spatial_dims: int, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, IN_CHANNELS, *size_of(case, spatial_dims), generator=generator)


every_case = pytest.mark.parametrize("case", CASES)
both_dims = pytest.mark.parametrize("spatial_dims", [2, 3])


def test_each_network_of_the_table_is_under_contract() -> None:
    assert {name for name, _ in CASES.values()} == set(NETWORKS)


@every_case
def test_row_and_instance_tell_the_same_multiple(case: str) -> None:
    name, settings = CASES[case]
    complete_settings = complete(NETWORKS, {"type": name, **settings}, "network")
    assert NETWORKS[name].multiple(complete_settings) == build(case, 2).divisible_by


def test_each_row_names_its_reference_and_says_what_it_is() -> None:
    for row in NETWORKS.values():
        assert row.reference and row.summary and "\n" not in row.summary


@every_case
@both_dims
def test_output_is_a_class_map_of_the_images_size(case: str, spatial_dims: int) -> None:
    image = image_for(case, spatial_dims, batch=2)
    with torch.no_grad():
        logits = build(case, spatial_dims).eval()(image)
    assert logits.shape == (2, CLASSES, *image.shape[2:])
    assert torch.isfinite(logits).all()


@every_case
@both_dims
def test_each_stage_has_the_size_its_name_says(case: str, spatial_dims: int) -> None:
    network, image = build(case, spatial_dims).eval(), image_for(case, spatial_dims)
    names = stage_names(network)
    assert {"encoder/deepest", "decoder/last", "logits", "decoder/1"} <= set(names)
    with torch.no_grad(), catch(network, names) as maps:
        logits = network(image)
    for name in names:
        stride = stride_of(resolve(network, name))
        assert maps[name].shape[0] == 1
        assert tuple(maps[name].shape[2:]) == tuple(ceil(n / stride) for n in image.shape[2:]), name
    assert torch.equal(maps["logits"], logits)
    assert resolve(network, "decoder/last") == "decoder/1"
    assert torch.equal(maps["decoder/last"], maps["decoder/1"])
    strides = [stride_of(name) for name in names if name.count("/") == 1 and name.split("/")[1].isdecimal()]
    assert stride_of(resolve(network, "encoder/deepest")) == max(strides)


@every_case
@both_dims
def test_a_gradient_reaches_every_parameter_but_the_documented(case: str, spatial_dims: int) -> None:
    network = build(case, spatial_dims).train()
    outputs = network(image_for(case, spatial_dims, batch=2))
    heads = outputs if isinstance(outputs, list) else [outputs]
    torch.stack([(head * torch.randn_like(head)).sum() for head in heads]).sum().backward()
    expected = WITHOUT_GRADIENT.get(case, [])
    for name, parameter in network.named_parameters():
        unused = any(fnmatch(name, pattern) for pattern in expected)
        assert (parameter.grad is None) == unused, name


@every_case
def test_a_copy_and_a_reloaded_state_answer_alike_and_share_nothing(case: str, tmp_path: Path) -> None:
    network, image = build(case, 2).eval(), image_for(case, 2)
    copy = deepcopy(network)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    other = build(case, 2)
    for parameter in other.parameters():
        nn.init.normal_(parameter)
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    names = ("encoder/deepest", "decoder/last")
    with torch.no_grad():
        with catch(network, names) as maps:
            answer = network(image)
        with catch(copy, names) as copied:
            assert torch.equal(copy(image), answer)
        assert torch.equal(other.eval()(image), answer)
        for parameter in copy.parameters():
            parameter.add_(1)
        assert torch.equal(network(image), answer)
    for name in names:
        assert torch.equal(maps[name], copied[name])


@every_case
def test_a_forward_leaves_no_state_behind(case: str) -> None:
    network, image = build(case, 2).eval(), image_for(case, 2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        first = network(image)
        network(3 * image + 1)
        assert torch.equal(network(image), first)
        alone = torch.cat([network(image), network(2 * image)])
        together = network(torch.cat([image, 2 * image]))
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@every_case
def test_hooks_are_gone_after_catching(case: str) -> None:
    network, image = build(case, 2).eval(), image_for(case, 2)
    with torch.no_grad(), catch(network, stage_names(network)) as maps:
        network(image)
        caught = dict(maps)
    with torch.no_grad():
        network(2 * image)
    assert not any(module._forward_hooks for module in network.modules())
    assert all(maps[name] is caught[name] for name in caught)


@every_case
@both_dims
def test_a_size_that_does_not_fit_is_refused_with_one_that_does(case: str, spatial_dims: int) -> None:
    network = build(case, spatial_dims).eval()
    size = size_of(case, spatial_dims)
    wrong = torch.zeros(1, IN_CHANNELS, *(length + 3 for length in size))
    with pytest.raises(ValueError, match=" x ".join(map(str, size))):
        network(wrong)
    with pytest.raises(ValueError, match=f"{IN_CHANNELS} channels"):
        network(torch.zeros(1, IN_CHANNELS + 1, *size))
    with pytest.raises(ValueError, match="batch"):
        network(torch.zeros(IN_CHANNELS, *size))


@every_case
def test_a_size_with_one_voxel_left_at_the_bottom_is_refused(case: str) -> None:
    network = build(case, 2).eval()
    step: Any = network.divisible_by
    with pytest.raises(ValueError, match=f"{2 * step} x {step}"):
        network(torch.zeros(1, IN_CHANNELS, step, step))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "wrong", [{"spatial_dims": 4}, {"in_channels": 0}, {"out_channels": 0}], ids=lambda w: next(iter(w))
)
def test_a_network_that_cannot_be_is_refused(name: str, wrong: dict[str, int]) -> None:
    facts: dict[str, Any] = {"spatial_dims": 2, "in_channels": 1, "out_channels": 1, **wrong}
    if name in ("h_denseformer", "unetr"):
        facts["image_size"] = (32,) * facts["spatial_dims"]
    with pytest.raises(ValueError, match=name):
        NETWORKS[name].part(**facts)


@every_case
def test_deep_supervision_returns_heads_in_training_alone(case: str) -> None:
    network, image = build(case, 2), image_for(case, 2)
    settings = CASES[case][1]
    heads = network.train()(image)
    several = settings.get("deep_supervision", case == "h_denseformer")
    assert isinstance(heads, list) == several
    assert isinstance(network.eval()(image), Tensor)
    shrink = 1 if case.startswith("unet_plus_plus") else 4  # all heads of UNet++ are at full resolution
    if several:
        for i, head in enumerate(heads):
            assert prod(head.shape[2:]) == prod(image.shape[2:]) // shrink**i
            assert head.shape[1] == CLASSES
