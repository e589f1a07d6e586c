"""A plans.json of nnU-Net v2 becomes a part of a recipe."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
import torch

from segdistill.networks.nnunet_plain import NNUNetPlain
from segdistill.networks.nnunet_plans import part_from_plans
from segdistill.networks.nnunet_residual import NNUNetResidual
from segdistill.parts import build

TABLE = {"nnunet_plain": NNUNetPlain, "nnunet_residual": NNUNetResidual}
ARCHITECTURE: dict[str, Any] = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "arch_kwargs": {
        "n_stages": 3,
        "features_per_stage": [4, 8, 8],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
        "n_conv_per_stage": [2, 2, 2],
        "n_conv_per_stage_decoder": [2, 2],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    },
    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
}
BEFORE_2_4 = {
    "patch_size": [8, 16, 16],
    "UNet_class_name": "PlainConvUNet",
    "UNet_base_num_features": 4,
    "unet_max_num_features": 8,
    "n_conv_per_stage_encoder": [2, 2, 2],
    "n_conv_per_stage_decoder": [2, 2],
    "num_pool_per_axis": [1, 2, 2],
    "pool_op_kernel_sizes": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "conv_kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
}
PART = {
    "type": "nnunet_plain",
    "features_per_stage": [4, 8, 8],
    "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "n_conv_per_stage": [2, 2, 2],
    "n_conv_per_stage_decoder": [2, 2],
    "conv_bias": True,
}


def plans(**changed: Any) -> dict[str, Any]:
    """Plans with some of the architecture's arguments changed."""
    architecture = deepcopy(ARCHITECTURE)
    architecture["arch_kwargs"].update(changed)
    return {"plans_name": "nnUNetPlans", "configurations": {"3d_fullres": {"architecture": architecture}}}


def residual() -> dict[str, Any]:
    changed = plans(n_blocks_per_stage=[1, 3, 4], n_conv_per_stage_decoder=[1, 1])
    architecture = changed["configurations"]["3d_fullres"]["architecture"]
    architecture["network_class_name"] = (
        "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
    )
    del architecture["arch_kwargs"]["n_conv_per_stage"]
    return changed


def test_a_plan_is_a_part() -> None:
    part = part_from_plans(plans(), "3d_fullres")
    assert part == PART
    net = build(TABLE, json.loads(json.dumps(part)), "network", spatial_dims=3, in_channels=1, out_channels=2)
    assert net.eval()(torch.zeros(1, 1, 4, 8, 8)).shape == (1, 2, 4, 8, 8)


def test_a_plan_with_a_residual_encoder_is_a_part() -> None:
    part = part_from_plans(residual(), "3d_fullres")
    assert part["type"] == "nnunet_residual"
    assert (part["n_blocks_per_stage"], part["n_conv_per_stage_decoder"]) == ([1, 3, 4], [1, 1])
    build(TABLE, part, "network", spatial_dims=3, in_channels=1, out_channels=2)


def test_a_plan_from_before_2_4_gives_the_same_part() -> None:
    old = {"configurations": {"3d_fullres": BEFORE_2_4}}
    assert part_from_plans(old, "3d_fullres") == PART
    old["configurations"]["3d_fullres"] = {**BEFORE_2_4, "UNet_class_name": "ResidualEncoderUNet"}
    assert part_from_plans(old, "3d_fullres")["n_blocks_per_stage"] == [2, 2, 2]


def test_a_configuration_has_what_it_inherits_and_its_own() -> None:
    content = plans()
    heir = {"inherits_from": "3d_fullres", "batch_size": 4}
    content["configurations"] |= {"3d_bs4": heir, "3d_bs4_too": {"inherits_from": "3d_bs4"}}
    assert part_from_plans(content, "3d_bs4_too") == PART
    content["configurations"]["3d_fullres"]["inherits_from"] = "3d_bs4"
    with pytest.raises(ValueError, match="circle: 3d_bs4 <- 3d_fullres <- 3d_bs4"):
        part_from_plans(content, "3d_bs4")


def test_one_number_for_all_levels_and_bias_where_nothing_is_said() -> None:
    content = plans(features_per_stage=8, kernel_sizes=3, n_conv_per_stage=1)
    del content["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["conv_bias"]
    part = part_from_plans(content, "3d_fullres")
    assert (part["features_per_stage"], part["kernel_sizes"], part["n_conv_per_stage"]) == ([8, 8, 8], 3, 1)
    assert part["conv_bias"] is False
    assert part_from_plans(plans(deep_supervision=False), "3d_fullres")["deep_supervision"] is False


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (
            {"norm_op": "torch.nn.modules.batchnorm.BatchNorm3d"},
            "norm_op torch.nn.modules.batchnorm.BatchNorm3d",
        ),
        ({"norm_op_kwargs": {"eps": 1e-3, "affine": True}}, "norm_op .* with .*0.001"),
        ({"norm_op_kwargs": {}}, "norm_op"),
        ({"nonlin": "torch.nn.ReLU"}, "nonlin torch.nn.ReLU"),
        ({"nonlin_kwargs": {"negative_slope": 0.2}}, "nonlin .* with .*0.2"),
        (
            {"dropout_op": "torch.nn.Dropout3d", "dropout_op_kwargs": {"p": 0.1}},
            "dropout_op torch.nn.Dropout3d",
        ),
        ({"conv_op": "torch.nn.modules.conv.Conv1d"}, "conv_op"),
        ({"nonlin_first": True}, "nonlin_first"),
        ({"stem_channels": 16}, "stem_channels"),
        ({"squeeze_excitation": True}, "squeeze_excitation"),
    ],
)
def test_another_network_is_refused_by_what_makes_it_one(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"configuration '3d_fullres'.*{named}.*not supported"):
        part_from_plans(plans(**changed), "3d_fullres")


@pytest.mark.parametrize(
    "path", ["dynamic_network_architectures.architectures.primus.PrimusM", "mine.PlainConvUNet"]
)
def test_another_class_is_refused(path: str) -> None:
    content = plans()
    content["configurations"]["3d_fullres"]["architecture"]["network_class_name"] = path
    with pytest.raises(ValueError, match=f"{path} is not supported"):
        part_from_plans(content, "3d_fullres")
    old = {"configurations": {"2d": {**BEFORE_2_4, "UNet_class_name": "MyNet"}}}
    with pytest.raises(ValueError, match="MyNet is not supported"):
        part_from_plans(old, "2d")


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match=r"no configuration '2d'; there are: 3d_fullres"):
        part_from_plans(plans(), "2d")
    with pytest.raises(ValueError, match="no configuration '2d'; there are: none"):
        part_from_plans({}, "2d")
    with pytest.raises(ValueError, match="kernel_sizes, strides missing"):
        part_from_plans(plans(kernel_sizes=None, strides=None), "3d_fullres")
    old = {key: value for key, value in BEFORE_2_4.items() if key != "unet_max_num_features"}
    with pytest.raises(ValueError, match="unet_max_num_features missing"):
        part_from_plans({"configurations": {"2d": old}}, "2d")
