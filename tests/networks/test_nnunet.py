"""nnunet_plain and nnunet_residual: weights and answers as nnU-Net's classes have them, and their own promises."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, instance_norm, leaky_relu

from segdistill.cost import count
from segdistill.networks import catch, stage_names
from segdistill.networks.blocks.nnunet_topology import Topology, multiple_of
from segdistill.networks.nnunet_plain import NNUNetPlain
from segdistill.networks.nnunet_residual import NNUNetResidual, ResidualBlock
from segdistill.parts import build, complete

TABLE = {"nnunet_plain": NNUNetPlain, "nnunet_residual": NNUNetResidual}
ANISOTROPIC: dict[str, Any] = {
    "features_per_stage": (4, 6, 8),
    "kernel_sizes": ((1, 3, 3), (3, 3, 3), 3),
    "strides": ((1, 1, 1), (1, 2, 2), (2, 2, 2)),
}
ISOTROPIC: dict[str, Any] = {"features_per_stage": (4, 6, 8), "strides": (1, 2, 2)}
SEVEN: dict[str, Any] = {"features_per_stage": (2, 3, 4, 4, 4, 4, 4), "strides": (1, 2, 2, 2, 2, 2, 2)}
BLOCKS = (1, 3, 4, 6, 6, 6, 6)
TWICE: dict[str, Any] = {"features_per_stage": (2, 3, 4, 4), "strides": ((1, 1, 1), (1, 2, 2), (2, 1, 1), 2)}

both = pytest.mark.parametrize("name", TABLE)


def network(
    name: str, spatial_dims: int, settings: dict[str, Any], in_channels: int = 2, classes: int = 3
) -> Any:
    """With as many blocks a level as nnU-Net gives that many levels."""
    blocks = {"n_blocks_per_stage": BLOCKS[: len(settings["features_per_stage"])]}
    extra = blocks if name == "nnunet_residual" else {}
    return TABLE[name](spatial_dims, in_channels, classes, **{**extra, **settings})


def digest(net: nn.Module) -> str:
    """Of the names and shapes of all weights, in their order."""
    lines = [f"{name} {tuple(tensor.shape)}" for name, tensor in net.state_dict().items()]
    return sha256("\n".join(lines).encode()).hexdigest()[:16]


def filled(net: nn.Module) -> nn.Module:
    """The network in double precision with weights that any machine computes alike."""
    net.double()
    with torch.no_grad():
        for i, parameter in enumerate(net.parameters()):
            values = torch.sin(0.37 * torch.arange(parameter.numel(), dtype=torch.float64) + i)
            parameter.copy_(values.reshape(parameter.shape))
    return net


def image(*shape: int) -> Tensor:
    return torch.cos(0.11 * torch.arange(torch.Size(shape).numel(), dtype=torch.float64) ** 1.5).reshape(
        shape
    )


# Digests and answers were read off PlainConvUNet and ResidualEncoderUNet of dynamic-network-architectures 0.4.4.
@pytest.mark.parametrize("deep_supervision", [True, False])
@pytest.mark.parametrize(
    ("name", "spatial_dims", "settings", "names", "expected"),
    [
        ("nnunet_plain", 2, ISOTROPIC, 136, "68d10492938ed40b"),
        ("nnunet_plain", 3, ANISOTROPIC, 136, "6a72f367172ece67"),
        ("nnunet_plain", 2, SEVEN, 344, "bca59a517dfb8252"),
        ("nnunet_residual", 2, ISOTROPIC, 320, "822e342945cd2fb8"),
        ("nnunet_residual", 3, ANISOTROPIC, 320, "a9d2743c18ab425b"),
        ("nnunet_residual", 2, SEVEN, 1136, "597c6851751cc4f0"),
    ],
)
def test_weights_have_nnu_nets_names_and_shapes(
    name: str,
    spatial_dims: int,
    settings: dict[str, Any],
    names: int,
    expected: str,
    deep_supervision: bool,
) -> None:
    net = network(name, spatial_dims, {**settings, "deep_supervision": deep_supervision})
    assert len(net.state_dict()) == names
    assert digest(net) == expected


# Of each head: mean, standard deviation, its first number and the last of its first class.
ANSWERS = {
    "nnunet_plain": [(-1.217299, 2.627376, 2.962421, -2.80734), (1.007521, 1.967942, 3.306289, -0.579578)],
    "nnunet_residual": [
        (1.288345, 0.841836, 1.619344, -0.042453),
        (-0.722722, 3.214513, -3.841606, -0.524423),
    ],
}


@both
def test_answers_are_nnu_nets_at_given_weights(name: str) -> None:
    net = filled(network(name, 3, ANISOTROPIC))
    with torch.no_grad():
        heads = net.train()(image(1, 2, 4, 8, 8))
        final = net.eval()(image(1, 2, 4, 8, 8))
    assert [tuple(head.shape) for head in heads] == [(1, 3, 4, 8, 8), (1, 3, 4, 4, 4)]
    assert torch.equal(final, heads[0])
    for head, expected in zip(heads, ANSWERS[name], strict=True):
        told = (head.mean(), head.std(), head[0, 0, 0, 0, 0], head[0, -1, -1, -1, -1])
        assert [value.item() for value in told] == pytest.approx(expected, abs=2e-6)


@both
def test_a_checkpoint_of_nnu_net_loads_strictly_and_repeated_names_are_one_weight(name: str) -> None:
    source = network(name, 2, ISOTROPIC)
    for parameter in source.parameters():
        nn.init.normal_(parameter)
    checkpoint = {key: tensor.clone() for key, tensor in source.state_dict().items()}
    other = network(name, 2, {**ISOTROPIC, "deep_supervision": False})
    other.load_state_dict(checkpoint, strict=True)
    x = torch.randn(1, 2, 16, 8)
    with torch.no_grad():
        assert torch.equal(other.eval()(x), source.eval()(x))
    tensors = other.state_dict()
    one, *same = [key for key in tensors if key.endswith("encoder.stages.1.0.convs.0.conv.weight")] or [
        key for key in tensors if key.endswith("encoder.stages.1.blocks.0.conv1.conv.weight")
    ]
    same.append(one.replace("conv.weight", "all_modules.0.weight"))
    assert all(tensors[key].data_ptr() == tensors[one].data_ptr() for key in same) and len(same) == 2
    distinct = {tensor.data_ptr(): tensor.numel() for tensor in tensors.values()}
    assert sum(p.numel() for p in other.parameters()) == sum(distinct.values())


def test_a_residual_block_is_two_convolutions_and_a_pooled_projected_shortcut() -> None:
    torch.manual_seed(0)
    topology = Topology.of("n", 2, (4, 6), [[3, 3], [1, 3]], [1, (1, 2)], bias=True)
    block = ResidualBlock(topology, 1, 4, (1, 2))
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    weights = dict(block.named_parameters())

    def layer(x: Tensor, name: str, **given: Any) -> Tensor:
        y = conv2d(x, weights[f"{name}.conv.weight"], weights.get(f"{name}.conv.bias"), **given)
        return instance_norm(y, weight=weights[f"{name}.norm.weight"], bias=weights[f"{name}.norm.bias"])

    x = torch.randn(2, 4, 6, 8)
    inner = leaky_relu(layer(x, "conv1", stride=(1, 2), padding=(0, 1)), 0.01)
    summed = layer(inner, "conv2", padding=(0, 1)) + layer(avg_pool2d(x, (1, 2)), "skip.1")
    torch.testing.assert_close(block(x), leaky_relu(summed, 0.01), rtol=1e-4, atol=1e-5)


def test_each_residual_block_starts_as_its_shortcut() -> None:
    block = next(
        m for m in network("nnunet_residual", 2, ISOTROPIC).modules() if isinstance(m, ResidualBlock)
    )
    x = torch.randn(1, 4, 4, 4)
    assert torch.equal(block(x), leaky_relu(x, 0.01))


@pytest.mark.parametrize(
    ("name", "parameters", "gmacs"),
    [("nnunet_plain", 31_205_254, 201.672), ("nnunet_residual", 102_359_430, 302.994)],
)
def test_sizes_of_the_defaults_for_one_channel_and_14_classes(
    name: str, parameters: int, gmacs: float
) -> None:
    with torch.device("meta"):
        net = TABLE[name](3, 1, 14, deep_supervision=False)
    counts = count(net, (1, 96, 96, 96))
    assert counts.parameters == parameters
    assert counts.macs / 1e9 == pytest.approx(gmacs, abs=5e-4)


@pytest.mark.parametrize(
    ("spatial_dims", "features", "length", "published"),
    [
        (3, (32, 64, 128, 256, 320, 320), 128, 558_319_104),
        (2, (32, 64, 128, 256, 512, 512, 512), 512, 129_793_792),
    ],
)
def test_feature_maps_take_what_nnu_nets_planner_says_for_one_channel_and_three_classes(
    spatial_dims: int, features: tuple[int, ...], length: int, published: int
) -> None:
    """The planner's comments print the numbers in the outputs of all convolutions and shortcuts."""
    levels = len(features)
    with torch.device("meta"):
        net = NNUNetResidual(
            spatial_dims,
            1,
            3,
            features_per_stage=features,
            strides=(1,) + (2,) * (levels - 1),
            n_blocks_per_stage=BLOCKS[:levels],
        )
    total = 0

    def add(module: nn.Module, given: Any, output: Tensor) -> None:
        nonlocal total
        total += output.numel()

    convolutions = nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d
    for module in net.modules():
        pooled = isinstance(module, ResidualBlock) and [type(m).__name__[:3] for m in module.skip] == ["Avg"]
        if pooled or isinstance(module, convolutions):
            (module.skip if pooled else module).register_forward_hook(add)
    with torch.no_grad():
        net(torch.empty(1, 1, *(length,) * spatial_dims, device="meta"))
    assert total == published


@both
def test_stages_at_anisotropic_strides_are_named_by_the_largest_and_have_the_levels_size(name: str) -> None:
    net = network(name, 3, ANISOTROPIC).eval()
    assert net.divisible_by == (2, 4, 4)
    x = torch.randn(1, 2, 6, 16, 8)
    with torch.no_grad(), catch(net, stage_names(net)) as maps:
        net(x)
    full, half, quarter = (6, 16, 8), (6, 8, 4), (3, 4, 2)
    sizes = {"encoder/1": full, "encoder/2": half, "encoder/4": quarter, "encoder/deepest": quarter}
    sizes |= {"decoder/2": half, "decoder/1": full, "decoder/last": full, "logits": full, "logits/2": half}
    if name == "nnunet_residual":
        sizes = {"encoder/1/stem": full, **sizes}
    assert {stage: tuple(maps[stage].shape[2:]) for stage in maps} == sizes
    with pytest.raises(ValueError, match=r"divisible by 2 x 4 x 4 .* nearest: 6 x 16 x 8 or 8 x 16 x 12"):
        net(torch.zeros(1, 2, 7, 16, 9))


@both
def test_of_two_levels_with_one_stride_the_last_to_run_has_the_bare_name(name: str) -> None:
    net = network(name, 3, TWICE).eval()
    with torch.no_grad(), catch(net, stage_names(net)) as maps:
        net(torch.randn(1, 2, 8, 8, 8))
    half, flat = (4, 4, 4), (8, 4, 4)
    for stage, size in {
        "encoder/2/stage1": flat,
        "encoder/2": half,
        "decoder/2/stage2": half,
        "decoder/2": flat,
        "logits/2": flat,
        "logits/2/stage2": half,
    }.items():
        assert tuple(maps[stage].shape[2:]) == size, stage


@both
def test_without_deep_supervision_only_the_finest_output_convolution_learns(name: str) -> None:
    net = network(name, 2, {**ISOTROPIC, "deep_supervision": False}).train()
    net(torch.randn(1, 2, 8, 16)).sum().backward()
    idle = {key for key, parameter in net.named_parameters() if parameter.grad is None}
    assert idle == {"decoder.seg_layers.0.weight", "decoder.seg_layers.0.bias"}
    assert "logits/2" not in stage_names(net)


@both
def test_settings_as_yaml_and_json_write_them(name: str) -> None:
    spec = {"type": name, **json.loads(json.dumps(ANISOTROPIC)), "n_conv_per_stage_decoder": [1, 2]}
    spec |= {"n_blocks_per_stage": [1, 2, 1]} if name == "nnunet_residual" else {"n_conv_per_stage": 1}
    told = complete(TABLE, spec, "network")
    assert told == {**told, **spec}
    net = build(TABLE, told, "network", spatial_dims=3, in_channels=1, out_channels=2)
    assert multiple_of(told["strides"]) == net.divisible_by == (2, 4, 4)
    assert len(net.decoder.stages[1].convs) == 2
    assert multiple_of([1, [2, 2], 2]) == 4


@both
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strides": (1, 2)}, "strides has 2 entries and features_per_stage 3"),
        ({"kernel_sizes": (3, 3)}, "kernel_sizes has 2 entries and features_per_stage 3"),
        (
            {"kernel_sizes": ((1, 3, 3), 3, 3)},
            r"entry \[1, 3, 3\]; in 2-D write one number for all axes or 2",
        ),
        ({"kernel_sizes": (3, 2, 3)}, "must be odd"),
        ({"strides": (2, 2, 2)}, "first of strides must be 1"),
        ({"n_conv_per_stage_decoder": (1, 1, 1)}, "has 3 entries, but features_per_stage has 3; give 2"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"{name}: .*{message}"):
        network(name, 2, {**ISOTROPIC, **settings})


@both
def test_a_number_for_each_level_must_be_one_for_each(name: str) -> None:
    key = "n_blocks_per_stage" if name == "nnunet_residual" else "n_conv_per_stage"
    with pytest.raises(ValueError, match=f"{name}: {key} has 2 entries"):
        network(name, 2, {**ISOTROPIC, key: (1, 2)})
    assert network(name, 2, {**ISOTROPIC, key: 1})(torch.randn(1, 2, 8, 8))[0].shape == (1, 3, 8, 8)
