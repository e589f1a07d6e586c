"""A network with a plan of its own: it answers for whole cases as it would be asked about a prepared image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segdistill.data import open_dataset
from segdistill.data.phantom import make_phantom
from segdistill.data.plan import make_plan
from segdistill.data.preprocessing import prepared
from segdistill.data.slices import Slices
from segdistill.errors import SegdistillError
from segdistill.evaluation.sliding_window import predict_maps
from segdistill.networks.stages import name_stages
from segdistill.teachers.on_grid import case_image
from segdistill.teachers.planned import Planned
from segdistill.teachers.source import Asking, CaseImage, Source


class Net(nn.Module):
    def __init__(self, dims: int = 3, meant: str = "down") -> None:
        super().__init__()
        torch.manual_seed(0)
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dims]
        self.down = convolution(2, 4, 2, stride=2)
        self.act = nn.Sigmoid()
        self.out = convolution(2, 3, 1)
        name_stages(self, {"encoder/2": meant})

    def forward(self, image: Tensor) -> Tensor:
        self.act(self.down(image))
        return self.out(image)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, CaseImage]:
    """A dataset, a coarser plan for it, and a case."""
    out = tmp_path_factory.mktemp("phantom") / "data"
    make_phantom(out, patients=2, size=(18, 16, 14), modalities=("CT", "PET"), difficulty=0.0)
    dataset = open_dataset(out)
    plan = make_plan(
        dataset, statistics_cases=[dataset.cases[0].id], spacing=[30.0, 30.0, 40.0], crop=[None, 13, None]
    )
    names = [channel.name for channel in plan.channels]
    return dataset, plan, case_image(names, dataset, dataset.cases[0].id)


def test_it_is_a_source(scene: Any) -> None:
    _, plan, _ = scene
    source = Planned(Net(), plan, (8, 8, 8), trained_on=("a",), score=0.5)
    assert isinstance(source, Source)
    assert source.channels == ("CT", "PET_SUV") and source.classes == plan.classes and not source.regions


def test_it_answers_on_the_grid_of_its_plan(scene: Any) -> None:
    _, plan, case = scene
    network = Net()
    found = Planned(network, plan, (8, 8, 8)).answer(
        case, ["encoder/2", "encoder/deepest"], Asking(overlap=0.25)
    )
    image, grid = prepared(case.image, case.geometry, plan)
    said = predict_maps(network, image, (8, 8, 8), {"encoder/2": (2, 2, 2)}, overlap=0.25)
    assert found.maps.keys() == {"logits", "encoder/2", "encoder/deepest"}
    torch.testing.assert_close(found.maps["logits"], said["logits"])
    for name in ("encoder/2", "encoder/deepest"):  # an alias is told under the name that was asked for
        torch.testing.assert_close(found.maps[name], said["encoder/2"])
        assert found.strides[name] == (2, 2, 2)
    assert found.strides["logits"] == (1, 1, 1) and found.maps["logits"].shape[1:] == grid.target
    np.testing.assert_array_equal(found.to_original, grid.to_original)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_not_joined_across(axis: int, scene: Any) -> None:
    _, plan, case = scene
    source = Planned(Net(2), plan, (4, 4), Slices(axis=axis))
    found = source.answer(case, ["encoder/2"], Asking())
    stride = [2, 2]
    stride.insert(axis, 1)
    assert found.strides == {"logits": (1, 1, 1), "encoder/2": tuple(stride)}
    size = found.maps["logits"].shape[1:]
    assert found.maps["encoder/2"].shape[1:] == tuple(-(-n // s) for n, s in zip(size, stride, strict=True))


def test_what_is_not_there_is_told(scene: Any) -> None:
    _, plan, case = scene
    with pytest.raises(SegdistillError, match="Net has no stage 'encoder/8'; it has: encoder/2"):
        Planned(Net(), plan, (8, 8, 8)).answer(case, ["encoder/8"], Asking())
    with pytest.raises(SegdistillError, match="needs 3"):
        Planned(Net(), plan, (8, 8)).answer(case, [], Asking())


def test_its_identity_is_of_all_that_decides_its_answers(scene: Any) -> None:
    dataset, plan, _ = scene
    changed = Net()
    with torch.no_grad():
        changed.out.bias += 1
    flat = Planned(Net(2), plan, (4, 4), Slices(axis=0))
    sources = [
        Planned(Net(), plan, (8, 8, 8)),
        Planned(changed, plan, (8, 8, 8)),
        Planned(Net(meant="act"), plan, (8, 8, 8)),
        Planned(Net(), plan, (8, 8, 4)),
        Planned(
            Net(),
            make_plan(dataset, statistics_cases=[dataset.cases[0].id], spacing=[20.0, 30.0, 40.0]),
            (8, 8, 8),
        ),
        Planned(
            Net(),
            make_plan(dataset, statistics_cases=[dataset.cases[0].id], spacing=[30.0, 30.0, 40.0]),
            (8, 8, 8),
        ),
        flat,
        replace(flat, slices=Slices(axis=1)),
    ]
    found = [source.identity() for source in sources]
    assert len(set(found)) == len(found)
    same = replace(sources[0], network=Net(), score=0.9, trained_on=("x",))
    assert same.identity() == found[0]


def test_a_stage_that_is_silent_outside_of_training_is_no_obstacle(scene: Any) -> None:
    _, plan, case = scene
    network = Net()
    network.spare = nn.Identity()
    name_stages(network, {"encoder/2": "down", "encoder/4": "spare"})
    source = Planned(network, plan, (8, 8, 8))
    assert source.identity() == source.identity()
    assert set(source.answer(case, ["encoder/2"], Asking()).maps) == {"logits", "encoder/2"}


def test_a_case_has_the_channels_that_were_asked_for(scene: Any) -> None:
    dataset, _, case = scene
    turned = case_image(["PET_SUV", "CT"], dataset, case.id)
    np.testing.assert_array_equal(turned.image, case.image[::-1])
    assert turned.image.dtype == np.float32 and turned.geometry.shape == case.geometry.shape
    assert case_image(["CT"], dataset, case.id).image.shape[0] == 1
