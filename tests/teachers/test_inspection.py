"""What a trained model is, looked at before it teaches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segdistill.errors import SegdistillError
from segdistill.networks.stages import name_stages, stage_names
from segdistill.networks.unet import UNet
from segdistill.teachers.inspection import StageRow, inspect, named_by_shape


class Seen:
    """A source of answers for whole cases."""

    channels: Any = ("CT", "PET")
    classes: Any = ("tumour", "node")
    regions, trained_on, score, window = True, ("a", "b"), 0.75, (16, 8, 16)

    def __init__(self, network: nn.Module | None) -> None:
        self.network = network

    def identity(self) -> str:
        return "x"

    def answer(self, case: Any, stages: Any, asking: Any) -> Any:
        raise AssertionError("looking does not ask")


def test_a_source_with_a_network() -> None:
    network = UNet(3, 2, 2, channels=(4, 8, 8)).train()
    found = inspect("run", Seen(network))
    assert (found.kind, found.network, found.window) == ("run", "UNet", (16, 8, 16))
    assert found.parameters == sum(each.numel() for each in network.parameters())
    assert (found.channels, found.classes, found.regions) == (("CT", "PET"), ("tumour", "node"), True)
    assert (found.score, found.trained_on, found.by_shape) == (0.75, 2, False)
    rows = {row.name: row for row in found.stages}
    assert rows["encoder/4"] == StageRow("encoder/4", 8, (4, 4, 4))
    assert rows["encoder/deepest = encoder/4"].channels == 8
    assert rows["logits"] == StageRow("logits", 2, (1, 1, 1))
    assert network.training, "it is left as it was"
    assert found.to_dict()["stages"][0].keys() == {"name", "channels", "stride"}


def test_uneven_strides() -> None:
    network = nn.Conv3d(1, 2, 1)
    down = nn.Conv3d(1, 3, (1, 2, 4), stride=(1, 2, 4))

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down, self.out = down, network

        def forward(self, image: Tensor) -> Tensor:
            self.down(image)
            return self.out(image)

    found = inspect("python", name_stages(Both(), {"encoder/4": "down"}), window=(8, 8, 8), channels=1)
    assert found.stages[0] == StageRow("encoder/4", 3, (1, 2, 4))


def test_a_source_without_a_network() -> None:
    found = inspect("soft_predictions", Seen(None))
    assert found.network is None and found.parameters is None and found.stages == ()


def plain() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 2, stride=2), nn.ReLU(), nn.ConvTranspose2d(4, 2, 2, stride=2))


def test_stages_of_a_network_that_names_none() -> None:
    network = plain()
    found = inspect("python", network, window=(8, 8), channels=3)
    assert found.by_shape and StageRow("encoder/2", 4, (2, 2)) in found.stages
    assert not inspect("python", network, window=(8, 8), channels=3).by_shape, "it has names now"
    assert found.channels is None and found.score is None and found.trained_on == 0
    assert not named_by_shape(nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 4, 4)), "there is no map to name"
    assert "encoder/2" in stage_names(network)


@pytest.mark.parametrize(
    ("given", "lacking"),
    [
        ({}, "--size and --channels"),
        ({"window": (8, 8)}, "give --channels"),
        ({"channels": 3}, "give --size"),
    ],
)
def test_what_has_to_be_said(given: Any, lacking: str) -> None:
    with pytest.raises(SegdistillError, match=f"does not say what it takes.*{lacking}"):
        inspect("torchscript", plain(), **given)


def test_a_network_that_says_what_it_takes() -> None:
    network = plain()
    network.image_size, network.in_channels, network.batch_size = (8, 8), 3, 2  # type: ignore[assignment]
    assert inspect("onnx", network).window == (8, 8)


@pytest.mark.parametrize(("window", "channels"), [((8, 8), 2), ((8, 8, 8, 8), 3), ((1, 1), 3), ((0, 8), 3)])
@pytest.mark.parametrize("named", [False, True])
def test_what_does_not_fit(window: Any, channels: int, named: bool) -> None:
    network = plain()
    if named:
        name_stages(network, {"encoder/2": "0"})
    with pytest.raises(SegdistillError, match=rf"Sequential cannot run on \[.*\] of {channels} channels"):
        inspect("python", network, window=window, channels=channels)
