"""Every network in a recipe: a student of a few steps, then a teacher; students by budget; networks told the site."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segdistill.data.phantom import make_phantom
from segdistill.errors import SegdistillError
from segdistill.evaluation.evaluate import dataset_of
from segdistill.evaluation.grad_cam import cam_of_case
from segdistill.evaluation.predict import Predictor, case_name
from segdistill.finish import finish
from segdistill.networks import NETWORKS
from segdistill.networks.mdvit import MDViT
from segdistill.recipe import Recipe
from segdistill.run import Run
from segdistill.training.assemble import assemble
from segdistill.training.distill import alone, distill
from segdistill.training.prepare import prepare
from segdistill.training.train import train

Settings = dict[str, Any]
# What makes a network small; one that is not named is small by `width: 1/4`.
SMALL: dict[str, Settings] = {
    "unet_plus_plus": {"filters": 4},
    "vnet": {"filters": 4},
    "ra_unet": {"filters": 4},
    "segresnet": {"filters": 4},
    "depthwise_unet": {"channels": [4, 8, 8]},
    "resnet18_student": {"filters": 4},
    "attention_unet": {"channels": [4, 8, 8]},
    "transunet": {
        **{"filters": 4, "units": [1, 1, 1], "hidden_size": 24, "mlp_size": 24, "layers": 1},
        "decoder_channels": [16, 8, 4, 4, 2],
    },
    "transbts": {"filters": 4, "hidden_size": 32, "mlp_size": 32, "layers": 1},
    "missu": {"filters": 4, "hidden_size": 32, "mlp_size": 32, "layers": 1},
    "swin_unet": {"feature_size": 12, "window": 4},
    "swin_unetr": {"feature_size": 6, "window": 4},
    "unetr": {"feature_size": 4, "hidden_size": 24, "mlp_size": 24},
    "h_denseformer": {"filters": 2, "depth": 4},
    "ux_net": {"feature_sizes": [4, 4, 8, 8], "hidden_size": 16},
    "missformer": {"dims": [16, 32, 80, 128], "depths": [1, 1, 1, 1], "bridge_depth": 1},
    "mdvit": {"feature_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1], "auxiliary_size": 8},
    "nnunet_plain": {"features_per_stage": [4, 8, 8], "strides": [1, [1, 2, 2], 2], "n_conv_per_stage": 1},
    "nnunet_residual": {"features_per_stage": [4, 8], "strides": [1, 2], "n_blocks_per_stage": 1},
    "mobile_unet": {"multiplier": 0.1},
    "al_net": {"channels": [4, 4, 4, 4, 8], "depths": [1, 1, 1, 1, 1], "decoder_channels": 4},
    "axial_transformer": {"filters": 16, "depths": [1, 1, 1]},
}


def small(name: str) -> Settings:
    return {"type": name, **SMALL.get(name, {"width": "1/4"})}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_each_network_learns_as_a_student_and_then_teaches(name: str, tiny: Settings, tmp_path: Path) -> None:
    few = {"epochs": 2, "iterations": 2, "share_every": 1}
    data = {**tiny["data"], "patch_size": [64, 32, 32], "batch_size": 2}
    taught = Recipe.load(
        "hinton",
        {"data": data, "train": few, "student": small(name)},
        {"teachers": {"teacher": {"run": str(tmp_path / "unet"), "network": tiny["student"]}}},
    )
    student = distill(taught, tmp_path / "student")
    losses = [event["loss"] for event in student.events() if event["event"] == "epoch"]
    assert all(np.isfinite(list(loss.values())).all() for loss in losses)
    light = Recipe.load(
        "attention_transfer",
        {"data": data, "train": few, "student": {"type": "unet", "channels": [4, 8]}},
        {"teachers": {"teacher": {"run": str(student.path), "network": None}}},
        terms={"attention": {"pairs": [["encoder/deepest"] * 2, ["decoder/last"] * 2]}},
    )
    run = distill(light, tmp_path / "light")
    last = [event["loss"] for event in run.events() if event["event"] == "epoch"][-1]
    assert np.isfinite(list(last.values())).all() and last["attention"] > 0


def test_a_student_by_budget_is_settled_once_and_told(tiny: Settings, tmp_path: Path) -> None:
    wanted = {"type": "unet", "channels": [4, 8], "budget": {"parameters": "9k", "latency_ms": 1e6}}
    recipe = Recipe.load("student_alone", {**tiny, "student": wanted})
    run = train(recipe, tmp_path / "run")
    part = run.recipe.student
    assert "budget" not in part and part == run.info["architecture"]["part"]
    assert run.info["architecture"]["parameters"] <= 9000
    assert run.info["budget"]["asked"]["budget"]["parameters"] == 9000
    told = [event["message"] for event in run.events() if event["event"] == "note"]
    assert any("widths of unet were weighed" in each for each in told)
    assert any("(too much)" in each for each in told) and any("ms (fits) <- chosen" in each for each in told)
    assert any("delete" in each and "budgets" in each for each in told)
    assert train(Recipe.load(run.file("recipe.yaml")), tmp_path / "same").recipe.student == part


def test_the_baseline_has_the_same_student_and_patch(tiny: Settings, tmp_path: Path) -> None:
    # Without a patch its size follows from the networks, also the teacher's, and the budget's answer from the patch.
    data = {key: value for key, value in tiny["data"].items() if key != "patch_size"}
    wanted = {"type": "unet", "channels": [4, 8], "budget": {"macs": "3M"}}
    teacher = {"run": str(tmp_path / "teacher"), "network": {"type": "vnet", "filters": 2}}
    recipe = Recipe.load(
        "hinton",
        {**tiny, "data": data, "student": wanted, "teachers": {"teacher": teacher}},
        train={"epochs": 1},
    )
    run = distill(recipe, tmp_path / "student")
    plain = alone(run.recipe, tmp_path / "alone")
    assert plain.recipe.student == run.recipe.student
    assert plain.recipe.data.patch_size == run.recipe.data.patch_size


def test_a_budget_is_not_weighed_again_on_resuming(
    tiny: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {"type": "unet", "channels": [4, 8], "budget": {"parameters": "9k"}}
    recipe = Recipe.load("student_alone", {**tiny, "student": wanted})
    run = train(recipe, tmp_path / "run")
    run.update(status="training")  # as if it had been stopped

    def elsewhere(*_: Any, **__: Any) -> None:
        raise AssertionError("weighed again, as another machine would")

    monkeypatch.setattr("segdistill.training.prepare.choose", elsewhere)
    assert train(recipe, tmp_path / "run", if_exists="resume").finished
    other = Recipe.load("student_alone", {**tiny, "student": {**wanted, "budget": {"parameters": "8k"}}})
    with pytest.raises(AssertionError, match="weighed again"):
        train(other, tmp_path / "run", if_exists="resume")


def test_like_a_teacher_that_is_trained_first(tiny: Settings, tmp_path: Path) -> None:
    teacher = {"run": str(tmp_path / "teacher"), "network": {"type": "unet", "channels": [8, 16, 16]}}
    recipe = Recipe.load(
        "hinton",
        {**tiny, "student": {"like": "teacher", "width": "1/2"}, "teachers": {"teacher": teacher}},
    )
    run = distill(recipe, tmp_path / "student")
    assert run.recipe.student["channels"] == [4, 8, 8]
    again = Recipe.load(
        "hinton", {**tiny, "student": {"like": "teacher", "width": "1/2"}}, {"teachers": {"teacher": teacher}}
    )
    assert again.student == recipe.student


@pytest.fixture(scope="session")
def two_sites(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Sections for images of two sites, with a small MDViT that adapts to them."""
    out = tmp_path_factory.mktemp("sites")
    path = make_phantom(out / "data", patients=8, size=(64, 32, 32), modalities=("CT",), sites=2)
    data = {"path": str(path), "store": str(out / "store"), "patch_size": [64, 32, 32], "workers": 0}
    return {
        "data": {**data, "sites": "^S[0-9]", "splits": {"folds": 3}},
        "student": {**small("mdvit"), "domains": 2, "unused_heads": False},
        "train": {"epochs": 2, "iterations": 3},
    }


def test_a_network_is_told_the_site_in_training_and_afterwards(two_sites: Settings, tmp_path: Path) -> None:
    run = train(Recipe.load("student_alone", two_sites), tmp_path / "run")
    assert run.info["sites"] == ["S1", "S2"]
    finish([run])
    predictor = Predictor.of(run)
    assert predictor.site_of("S2_P004") == "S2" and predictor.site_of("P004") is None
    case = next(Path(two_sites["data"]["path"]).glob("imagesTr/*"))
    with torch.no_grad():
        for parameter in predictor.network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    here, there = (predictor.classes([case], site) for site in ("S1", "S2"))
    assert not np.array_equal(here, there)
    assert case.name.startswith(str(predictor.site_of(case_name(case))))
    with pytest.raises(SegdistillError, match=r"site: 'S3' is unknown.*choices: S1, S2"):
        predictor.classes([case], "S3")


@pytest.mark.parametrize(
    ("sites", "told"), [("^S", "finds 1: S"), (None, "is not set")], ids=["one site", "no sites"]
)
def test_as_many_sites_as_there_are(two_sites: Settings, tmp_path: Path, sites: Any, told: str) -> None:
    settings = {**two_sites, "data": {**two_sites["data"], "sites": sites}}
    with pytest.raises(SegdistillError, match=f"student.domains: .* 2 sites.*{told}"):
        train(Recipe.load("student_alone", settings), tmp_path / "run")


def told_sites(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What MDViT's networks are told from now on."""
    told: list[Any] = []
    domain = MDViT._domain

    def listening(network: MDViT, image: torch.Tensor, site: torch.Tensor | None) -> torch.Tensor:
        told.append(None if site is None else site.tolist())
        return domain(network, image, site)

    monkeypatch.setattr(MDViT, "_domain", listening)
    return told


def test_moving_averages_peers_and_grad_cam_are_told_the_site_too(
    two_sites: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teachers = {"average": {"average": {"momentum": 0.9}}, "peer": {"peer": {}}}
    recipe = Recipe.load(
        "student_alone", two_sites, teachers=teachers, terms={"response": {"loss": "kl"}}, train={"epochs": 1}
    )
    data = prepare(recipe)
    distiller = assemble(data)
    told = told_sites(monkeypatch)
    distiller(torch.zeros(2, 1, 64, 32, 32), torch.zeros(2, 1, 64, 32, 32).long(), site=torch.tensor([0, 1]))
    assert told == [[0, 1]] * 3, "the student, the average and the peer"
    run = train(Recipe.load("student_alone", two_sites), tmp_path / "run")
    predictor = Predictor.of(run)
    dataset = dataset_of(run)
    case = next(case for case in dataset.cases if case.id.startswith("S2"))
    told.clear()
    cam_of_case(predictor, case, predictor.plan.classes[0], (32, 16, 16), stage="encoder/8", over="reference")
    assert told and all(each == [1] for each in told)


def test_a_site_for_a_network_that_adapts_to_none_is_refused(tiny: Settings, tmp_path: Path) -> None:
    run = train(Recipe.load("student_alone", tiny), tmp_path / "run")
    with pytest.raises(SegdistillError, match="does not adapt to sites; leave it out"):
        Predictor.of(run).at("S1")


def test_a_teacher_is_not_told_the_site(two_sites: Settings, tmp_path: Path) -> None:
    teacher = {"run": str(tmp_path / "teacher"), "network": two_sites["student"]}
    recipe = Recipe.load(
        "hinton",
        {**two_sites, "student": {"type": "unet", "channels": [4, 8]}},
        teachers={"teacher": teacher},
    )
    with pytest.raises(SegdistillError, match=r"teachers\.teacher: its network adapts to 2 sites"):
        distill(recipe, tmp_path / "student")
    assert not Run(tmp_path / "teacher").exists, json.dumps(teacher)
