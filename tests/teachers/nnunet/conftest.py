"""A tiny folder of nnU-Net results, written as nnU-Net v2 writes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from segdistill.data.geometry import Geometry
from segdistill.networks.nnunet_plain import NNUNetPlain
from segdistill.teachers.source import CaseImage

Write = Callable[..., Path]
FEATURES = [4, 6]


def architecture(dims: int) -> dict[str, Any]:
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": 2,
            "features_per_stage": FEATURES,
            "conv_op": f"torch.nn.modules.conv.Conv{dims}d",
            "kernel_sizes": [[3] * dims] * 2,
            "strides": [[1] * dims, [2] * dims],
            "n_conv_per_stage": [1, 1],
            "n_conv_per_stage_decoder": [1],
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dims}d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def configuration(dims: int, channels: int = 1, **changes: Any) -> dict[str, Any]:
    settings = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [8] * dims,
        "spacing": [1.0] * dims,
        "normalization_schemes": ["ZScoreNormalization"] * channels,
        "use_mask_for_norm": [False] * channels,
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": {
            "is_seg": False,
            "order": 3,
            "order_z": 0,
            "force_separate_z": None,
        },
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
        "architecture": architecture(dims),
    }
    return {**settings, **changes}


def make_plans(dims: int = 3, channels: int = 1, **changes: Any) -> dict[str, Any]:
    """A plans.json; `changes` go into the configuration, `transpose_forward` and the like into the plan."""
    top = {
        "dataset_name": "Dataset999_Tiny",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "foreground_intensity_properties_per_channel": {
            str(k): {"mean": 40.0, "std": 20.0, "percentile_00_5": -10.0, "percentile_99_5": 90.0}
            for k in range(channels)
        },
    }
    top |= {key: changes.pop(key) for key in list(changes) if key in top}
    name = "3d_fullres" if dims == 3 else "2d"
    return {**top, "configurations": {name: configuration(dims, channels, **changes)}}


def make_network(dims: int, channels: int, outputs: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = NNUNetPlain(
        dims,
        channels,
        outputs,
        features_per_stage=tuple(FEATURES),
        strides=((1,) * dims, (2,) * dims),
        n_conv_per_stage=1,
        n_conv_per_stage_decoder=1,
    )
    return network.eval()


def make_checkpoint(network: nn.Module, name: str) -> dict[str, Any]:
    """The keys of nnU-Net 2.8's checkpoints, with numpy's numbers in its log."""
    return {
        "network_weights": network.state_dict(),
        "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.01, "nesterov": True}]},
        "grad_scaler_state": None,
        "logging": {"train_losses": [np.float32(0.5)], "dice_per_class_or_region": [[np.float64(0.1)]]},
        "_best_ema": np.float64(0.8),
        "current_epoch": 5,
        "init_args": {"configuration": name, "fold": 0, "device": torch.device("cpu")},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2) if name != "2d" else (0, 1),
    }


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a folder; its networks have the seeds 0, 1, ... of the folds' numbers."""

    def make(
        *,
        dims: int = 3,
        folds: tuple[int | str, ...] = (0,),
        labels: dict[str, Any] | None = None,
        channels: tuple[str, ...] = ("MRI",),
        dataset: dict[str, Any] | None = None,
        outputs: int | None = None,
        checkpoint: dict[str, Any] | None = None,
        checkpoint_name: str = "checkpoint_final.pth",
        into: Path | None = None,
        **changes: Any,
    ) -> Path:
        labels = labels or {"background": 0, "front": 1, "back": 2}
        plans = make_plans(dims, len(channels), **changes)
        name = next(iter(plans["configurations"]))
        folder = (into or tmp_path / "results") / f"nnUNetTrainer__nnUNetPlans__{name}"
        folder.mkdir(parents=True)
        described = {
            "channel_names": {str(k): channel for k, channel in enumerate(channels)},
            "labels": labels,
            "numTraining": 4,
            "file_ending": ".nii.gz",
            **(dataset or {}),
        }
        (folder / "plans.json").write_text(json.dumps(plans), encoding="utf-8")
        (folder / "dataset.json").write_text(json.dumps(described), encoding="utf-8")
        heads = outputs or len([value for name, value in labels.items() if name != "ignore"])
        for seed, fold in enumerate(folds):
            (folder / f"fold_{fold}").mkdir()
            content = make_checkpoint(make_network(dims, len(channels), heads, seed), name)
            torch.save({**content, **(checkpoint or {})}, folder / f"fold_{fold}" / checkpoint_name)
        return folder

    return make


def make_case(
    shape: tuple[int, ...], *, spacing: tuple[float, ...] | None = None, channels: int = 1, seed: int = 0
) -> CaseImage:
    """An image without empty voxels, axes in the order x, y, z (or rows, columns)."""
    affine = np.diag([*(spacing or (1.0,) * len(shape)), *(1.0,) * (4 - len(shape))])
    image = np.random.default_rng(seed).uniform(1, 100, (channels, *shape)).astype(np.float32)
    return CaseImage("case1", image, Geometry(shape, affine))


@pytest.fixture
def tiny() -> SimpleNamespace:
    """The makers above."""
    return SimpleNamespace(
        case=make_case,
        configuration=configuration,
        network=make_network,
        plans=make_plans,
        checkpoint=make_checkpoint,
    )
