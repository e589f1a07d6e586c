"""What every network of the table promises, checked over the whole table at tiny sizes in 2-D and 3-D."""

from __future__ import annotations

import warnings
from copy import deepcopy
from fnmatch import fnmatch
from inspect import signature
from math import ceil, prod
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segdistill import checkpoint
from segdistill.cost import count
from segdistill.cost.meta import WithoutMemory
from segdistill.networks import NETWORKS, catch, stage_names, stride_of
from segdistill.networks.stages import resolve
from segdistill.parts import complete

SMALL: dict[str, dict[str, Any]] = {
    "transunet": {
        **{"filters": 2, "units": (1, 1, 1), "hidden_size": 8, "mlp_size": 8, "heads": 2, "layers": 1},
        "decoder_channels": (8, 6, 4, 3, 2),
    },
    "transbts": {"filters": 2, "blocks": (1,) * 4, "hidden_size": 8, "mlp_size": 8, "heads": 2, "layers": 1},
    "swin_unetr": {"feature_size": 6, "depths": (1,) * 4, "heads": (1, 2, 2, 2)},
    "missformer": {"dims": (8, 8, 16, 16), "depths": (1,) * 4, "heads": (1, 2, 2, 2), "bridge_depth": 1},
    "mdvit": {
        **{"feature_sizes": (4, 4, 8, 8), "depths": (1,) * 4, "heads": (1, 1, 0), "mlp_ratios": (1,) * 4},
        "auxiliary_size": 4,
    },
    "nnunet_plain": {"features_per_stage": (2, 3, 4), "strides": (1, 2, 2)},
    "h_denseformer": {"filters": 2, "depth": 4, "dropout": 0.0},
    "depthwise_unet": {"channels": (2, 3, 4), "dropout": 0.0},
    "axial_transformer": {"filters": 4, "heads": 2, "depths": (1, 1, 1)},
}
SMALL["nnunet_residual"] = {**SMALL["nnunet_plain"], "n_blocks_per_stage": (1, 2, 1)}
# Name of the case, whose beginning is the network's -> its smallest settings.
CASES: dict[str, dict[str, Any]] = {
    "unet": {"channels": (2, 3, 4), "convolutions": 1},
    "unet, deep supervision": {"channels": (2, 3, 4), "deep_supervision": True},
    "unet_plus_plus": {"filters": 2},
    "unet_plus_plus, deep supervision": {"filters": 2, "deep_supervision": True},
    "vnet": {"filters": 2},
    "vnet, more channels than filters": {"filters": 1, "activation": "prelu"},
    "attention_unet": {"channels": (2, 4, 6)},
    "attention_unet, deep supervision": {"channels": (2, 4, 6), "deep_supervision": True},
    "ra_unet": {"filters": 4},
    "transunet": SMALL["transunet"],
    "transbts": SMALL["transbts"],
    "transbts, nothing unused": {**SMALL["transbts"], "unused_layers": False},
    "swin_unet": {"feature_size": 8, "depths": (2, 1, 1, 1), "heads": (1, 2, 2, 2), "window": 3},
    "unetr": {"feature_size": 2, "hidden_size": 8, "mlp_size": 8, "heads": 2},
    "swin_unetr, paper": {**SMALL["swin_unetr"], "depths": (2, 1, 1, 1), "window": 3},
    "swin_unetr, fourth stage dropped": {**SMALL["swin_unetr"], "unused_stage": False},
    "swin_unetr, monai": {**SMALL["swin_unetr"], "variant": "monai"},
    "h_denseformer": SMALL["h_denseformer"],
    "h_denseformer, one head": {**SMALL["h_denseformer"], "deep_supervision": False},
    "ux_net": {"feature_sizes": (2, 3, 4, 6), "hidden_size": 8, "depths": (1, 1, 1, 1)},
    "missu": SMALL["transbts"],
    "mdvit": SMALL["mdvit"],
    "mdvit, two domains": {**SMALL["mdvit"], "domains": 2, "unused_heads": False},
    "mdvit, no auxiliary head": {**SMALL["mdvit"], "auxiliary": False},
    "missformer": SMALL["missformer"],
    "missformer, nothing unused": {**SMALL["missformer"], "unused_layers": False},
    "nnunet_plain": SMALL["nnunet_plain"],
    "nnunet_plain, one head": {**SMALL["nnunet_plain"], "deep_supervision": False},
    "nnunet_residual": SMALL["nnunet_residual"],
    "nnunet_residual, one head": {**SMALL["nnunet_residual"], "deep_supervision": False},
    "segresnet": {"filters": 4, "groups": 2},
    "mobile_unet": {"multiplier": 0.1},
    "mobile_unet, all of MobileNetV2": {
        "multiplier": 0.1,
        "last_pointwise": True,
        "channel_attention": False,
    },
    "resnet18_student": {"filters": 2},
    "al_net": {"channels": (2, 3, 4, 5, 6), "depths": (1, 2, 1, 2, 1), "decoder_channels": 4},
    "axial_transformer": SMALL["axial_transformer"],
    "axial_transformer, deep supervision": {**SMALL["axial_transformer"], "deep_supervision": True},
    "depthwise_unet": SMALL["depthwise_unet"],
    "depthwise_unet, deep supervision": {
        **SMALL["depthwise_unet"],
        **{"separable": "spatiotemporal", "attention": False, "deep_supervision": True},
    },
    "depthwise_unet, early": {
        **SMALL["depthwise_unet"],
        **{"channels": (3, 4, 5), "early_downsampling": True, "deep_supervision": True},
    },
}
# Parameters that get no gradient, and are documented to.
WITHOUT_GRADIENT = {
    "h_denseformer, one head": ["heads.[123].*"],
    "swin_unetr, paper": ["swinViT.layers4.*"],
    "unetr": ["network.vit.blocks.*.norm_cross_attn.*"],
    "transbts": ["network.unused_*"],
    "mdvit": ["auxiliary.[123].*"],
    "missformer": ["*unused.*"],
    "nnunet_plain, one head": ["decoder.seg_layers.0.*"],
    "nnunet_residual, one head": ["decoder.seg_layers.0.*"],
}
IN_CHANNELS, CLASSES = 2, 3


def settings_of(case: str) -> tuple[str, dict[str, Any]]:
    """Network and complete settings of a case."""
    name = case.split(",")[0]
    settings = complete(NETWORKS, {"type": name, **CASES[case]}, "network")
    return name, {key: value for key, value in settings.items() if key != "type"}


def size_of(case: str, spatial_dims: int) -> tuple[int, ...]:
    """The smallest anisotropic size that fits."""
    name, settings = settings_of(case)
    step = NETWORKS[name].multiple(settings)
    assert isinstance(step, int)
    return (2 * step, step, step)[:spatial_dims]


def bound(name: str) -> bool:
    """Whether a network is built for one size of image."""
    return "image_size" in signature(NETWORKS[name].part).parameters


def build(case: str, spatial_dims: int) -> nn.Module:
    torch.manual_seed(0)
    name = case.split(",")[0]
    size = {"image_size": size_of(case, spatial_dims)} if bound(name) else {}
    return NETWORKS[name].part(spatial_dims, IN_CHANNELS, CLASSES, **CASES[case], **size)


def image_for(case: str, spatial_dims: int, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, IN_CHANNELS, *size_of(case, spatial_dims), generator=generator)


every_case = pytest.mark.parametrize("case", CASES)
both_dims = pytest.mark.parametrize("spatial_dims", [2, 3])


def test_each_network_of_the_table_is_under_contract() -> None:
    assert {case.split(",")[0] for case in CASES} == set(NETWORKS)


@every_case
def test_row_and_instance_tell_the_same_multiple(case: str) -> None:
    name, settings = settings_of(case)
    assert NETWORKS[name].multiple(settings) == build(case, 2).divisible_by


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
def test_axes_are_not_mixed_up(case: str) -> None:
    name, settings = settings_of(case)
    step = NETWORKS[name].multiple(settings)
    if not isinstance(step, int) or step > 16:
        pytest.skip("large images; its axes are tried in 2-D")
    size = (step, 2 * step, 3 * step)
    given = {"image_size": size} if bound(name) else {}
    network = NETWORKS[name].part(3, 1, 2, **CASES[case], **given).eval()
    image = torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), catch(network, stage_names(network)) as maps:
        assert network(image).shape[2:] == size
    for stage, found in maps.items():
        stride = stride_of(resolve(network, stage))
        assert tuple(found.shape[2:]) == tuple(ceil(n / stride) for n in size), stage


@every_case
def test_a_map_that_is_learned_from_moves_what_is_before_it(case: str) -> None:
    network, image = build(case, 2).train(), image_for(case, 2, batch=2)
    names = [name for name in stage_names(network) if "/" in name]
    with catch(network, names) as maps:
        network(image)
    for name in dict.fromkeys(resolve(network, name) for name in names):
        network.zero_grad()
        maps[name].square().mean().backward(retain_graph=True)
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters()), name


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
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


@every_case
def test_a_copy_and_a_reloaded_state_answer_alike_and_share_nothing(case: str, tmp_path: Path) -> None:
    network, image = build(case, 2).eval(), image_for(case, 2)
    copy = deepcopy(network)
    checkpoint.save(tmp_path / "weights.safetensors", network.state_dict(), {})
    other = build(case, 2)
    for parameter in other.parameters():
        nn.init.normal_(parameter)
    other.load_state_dict(checkpoint.load(tmp_path / "weights.safetensors")[0])
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
    if bound(name):
        facts["image_size"] = (32,) * facts["spatial_dims"]
    with pytest.raises(ValueError, match=name):
        NETWORKS[name].part(**facts)


@every_case
def test_several_heads_are_returned_in_training_alone(case: str) -> None:
    network, image = build(case, 2), image_for(case, 2)
    heads = network.train()(image)
    settings = settings_of(case)[1]
    several = settings.get("deep_supervision", settings.get("auxiliary", False))
    assert isinstance(heads, list) == several
    assert isinstance(network.eval()(image), Tensor)
    shrink = 1 if case.split(",")[0] in FULL_SIZE else 4
    if several:
        for i, head in enumerate(heads):
            assert prod(head.shape[2:]) == prod(image.shape[2:]) // shrink**i
            assert head.shape[1] == CLASSES


FULL_SIZE = ("unet_plus_plus", "mdvit")  # all of their heads are


@every_case
@both_dims
def test_it_is_counted_and_runs_in_half_precision(case: str, spatial_dims: int) -> None:
    network, image = build(case, spatial_dims).eval(), image_for(case, spatial_dims)
    counts = count(network, image.shape[1:])
    assert counts.parameters == sum(p.numel() for p in network.parameters())
    assert counts.macs > 0 and counts.thop_macs > 0
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.isfinite(network(image)).all()
    with WithoutMemory():
        kept = [p.numel() for p in build(case, spatial_dims).parameters() if not p.is_meta]
    assert sum(kept) < 100


@pytest.mark.export
@every_case
@both_dims
def test_it_is_exported_to_onnx_and_answers_alike(case: str, spatial_dims: int, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="needs ONNX: make test-export")
    network, image = build(case, spatial_dims).eval(), image_for(case, spatial_dims)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        expected = network(image)
        file = tmp_path / "network.onnx"
        torch.onnx.export(network, (image,), file, dynamo=True, external_data=False, verbose=False)
    session = runtime.InferenceSession(file)
    answer = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: image.numpy()})[0])
    torch.testing.assert_close(answer, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.export
@pytest.mark.parametrize("case", ["unet", "swin_unetr, paper", "mobile_unet"])
@both_dims
def test_it_compiles_and_answers_alike(case: str, spatial_dims: int) -> None:
    network, image = build(case, spatial_dims).eval(), image_for(case, spatial_dims)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = network(image)
        torch.compiler.reset()  # other sizes, seen before, would make it try dynamic ones
        answer = torch.compile(network, dynamic=False)(image)
    torch.testing.assert_close(answer, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
