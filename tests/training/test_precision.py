from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segdistill.errors import SegdistillError
from segdistill.networks.unet import UNet
from segdistill.recipe import Recipe
from segdistill.training import precision
from segdistill.training.precision import error, refuse_wrong_gradients, small_convolutions
from segdistill.training.train import train

EXAMPLE = torch.zeros(1, 1, 16, 24, 16)


def network() -> UNet:
    return UNet(3, 1, 2, channels=(4, 8, 8, 8))


def test_gradients_that_are_noise_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    right = precision.weight_gradient

    def wrong(layer: nn.Conv3d, image: Tensor, dtype: torch.dtype) -> Tensor:
        found = right(layer, image, dtype)
        return (
            torch.full_like(found, float("nan")) if dtype == torch.bfloat16 and image.shape[2] == 2 else found
        )

    monkeypatch.setattr(precision, "weight_gradient", wrong)
    told = r"train\.precision: .* wrong gradients in bfloat16 for student's encoder\.3\.1\.0 on maps of 2 x 3 x 2; use"
    with pytest.raises(SegdistillError, match=told):
        refuse_wrong_gradients(network(), EXAMPLE, torch.bfloat16, "student")


def test_sound_gradients_pass_and_nothing_is_changed() -> None:
    student = network().train()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    refuse_wrong_gradients(student, EXAMPLE, torch.float32, "student")
    assert student.training and not any(layer._forward_hooks for layer in student.modules())
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


def test_only_small_maps_are_tried() -> None:
    found = {name: shape for name, _, shape in small_convolutions(network(), EXAMPLE)}
    assert found["encoder.3.1.0"] == (8, 2, 3, 2)
    assert all(min(shape[1:]) <= 4 for shape in found.values()) and "encoder.0.0.0" not in found


@pytest.mark.parametrize("size", [(2, 3, 2), (3, 4, 3), (4, 4)])
def test_training_in_half_precision_is_refused_exactly_where_this_machine_is_wrong(
    tiny: dict[str, Any], tmp_path: Path, size: tuple[int, ...]
) -> None:
    layer: Any = (nn.Conv3d if len(size) == 3 else nn.Conv2d)(8, 8, 3, padding=1, bias=False)
    wrong = error(layer, (8, *size), torch.bfloat16) > precision.WRONG
    patch = [8 * side for side in size]
    data = {"patch_size": patch} | ({"slices": {"axis": 2}} if len(size) == 2 else {})
    recipe = Recipe.load(
        "student_alone", tiny, data=data, student={"channels": [4, 8, 8, 8], "convolutions": 2},
        train={"precision": "bf16-mixed", "epochs": 1, "iterations": 1},
    )  # fmt: skip
    if wrong:
        with pytest.raises(SegdistillError, match=r"train\.precision: .*32-true"):
            train(recipe, tmp_path / "run")
        assert not (tmp_path / "run").exists()
    else:
        assert train(recipe, tmp_path / "run").finished


@pytest.mark.parametrize("here", [True, False])
def test_a_run_says_when_half_precision_is_imitated(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: bool
) -> None:
    monkeypatch.setattr("segdistill.training.train.imitated", lambda dtype: here and dtype == torch.bfloat16)
    monkeypatch.setattr(precision, "WRONG", float("inf"))
    half = {"precision": "bf16-mixed", "epochs": 1, "iterations": 1}
    run = train(Recipe.load("student_alone", tiny, train=half), tmp_path / "run")
    told = [event["message"] for event in run.events() if event["event"] == "warning"]
    assert any("train.precision=32-true" in text for text in told) is here
