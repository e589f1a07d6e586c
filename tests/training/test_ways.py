"""Ways of training beyond frozen teachers: each trains, logs what it does, and ends the same after an interruption."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from segdistill import checkpoint
from segdistill.data.phantom import make_phantom
from segdistill.errors import SegdistillError
from segdistill.model import BEST, LAST, load_network
from segdistill.recipe import Recipe
from segdistill.run import Run
from segdistill.training import loop, sites
from segdistill.training.distill import distill
from segdistill.training.train import train

Settings = dict[str, Any]
WAYS: dict[str, Settings] = {
    "peer": {
        "teachers": {"friend": {"peer": {}, "network": {"type": "unet", "channels": [4, 8], "deep_supervision": True}}},
        "terms": {"response": {"loss": "kl"}},
    },
    "two peers": {
        "teachers": {"a": {"peer": {}}, "b": {"peer": {}}},
        "terms": {"response": {"loss": "kl"}},
        "combine": "mean",
    },
    "peer of each site": {
        "data": {"sites": "^S[0-9]"},
        "teachers": {"peers": {"peer": {"site": "each", "detach": False}}},
        "terms": {"mutual": {"loss": "soft_dice", "teachers": ["peers"]}},
    },
    "moving average": {
        "teachers": {"average": {"average": {"momentum": 0.9, "final": 1.0}, "view": {}}},
        "terms": {"masks": {"loss": "bernoulli"}},
    },
    "moving average with batch norm": {
        "student": {"type": "unet_plus_plus", "filters": 2},
        "data": {"slices": {"axis": 2}, "patch_size": [32, 32]},
        "teachers": {"average": {"average": {"momentum": 0.9}}},
        "terms": {"masks": {"loss": "bernoulli"}},
    },
    "own stages": {
        "terms": {"own": {"loss": "kl", "teacher_is": "student", "pairs": [["decoder/1", "encoder/1"]]}},
    },
    "importance": {
        "teachers": {"a": {"peer": {"detach": False}}, "b": {"peer": {"detach": False}}},
        "terms": {"response": {"loss": "kl"}},
        "combine": "importance",
    },
    "critic": {
        "teachers": {"teacher": {}},
        "terms": {"response": {"loss": "kl"}},
        "critic": {"width": 4, "layers": 1},
    },
    "phases": {
        "teachers": {"teacher": {}},
        "terms": {
            "latent": {"loss": "mse", "student": "encoder/2", "projector": {"type": "autoencoder", "latent": 4}},
            "response": {"loss": "kl"},
        },
        "phases": [
            {"name": "autoencoder", "share": 1, "terms": [], "student": False},
            {"name": "distil", "share": 2, "reconstruction": False},
        ],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def teacher(tiny: Settings, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "teacher"
    return train(Recipe.load("student_alone", tiny, {"student": {"channels": [8, 16]}}), out)


@pytest.fixture
def way(tiny: Settings, teacher: Run) -> Callable[..., Recipe]:
    """The recipe of a way of training, on the tiny set."""

    def make(name: str, **sections: Any) -> Recipe:
        recipe = Recipe.load({"kind": "mixed"}, tiny, WAYS[name], sections).model_dump(mode="json")
        for section in recipe["teachers"].values():
            if section["peer"] is None and section["average"] is None:
                section["run"] = str(teacher.path)
        return Recipe.check(recipe)

    return make


def weights(run: Run, which: str = LAST) -> dict[str, torch.Tensor]:
    return checkpoint.load(run.file(which))[0]


def epochs(run: Run) -> list[dict[str, Any]]:
    return [event for event in run.events() if event["event"] == "epoch"]


def test_measuring_shares_changes_nothing(way: Callable[..., Recipe], tmp_path: Path) -> None:
    """Batch norm sees the batch of the measurement, too; its statistics must not."""
    name = "moving average with batch norm"
    runs = [
        distill(way(name, train={"share_every": every}), tmp_path / str(every)) for every in (0, 1)
    ]  # fmt: skip
    own, other = (weights(run) for run in runs)
    assert all(torch.equal(own[key], other[key]) for key in own)


@pytest.mark.parametrize("name", WAYS)
def test_ends_with_the_same_weights_after_an_interruption(
    name: str, way: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = distill(way(name), tmp_path / "whole")
    step = loop.one_step

    def breaks_off(fabric: Any, model: Any, optimizers: Any, stream: Any, number: int, *rest: Any) -> Any:
        if number == 3:
            raise KeyboardInterrupt
        return step(fabric, model, optimizers, stream, number, *rest)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(loop, "one_step", breaks_off)
        distill(way(name), tmp_path / "broken")
    resumed = distill(way(name), tmp_path / "broken", if_exists="resume")
    for which in (LAST, BEST):
        own, other = weights(whole, which), weights(resumed, which)
        assert own.keys() == other.keys() and all(torch.equal(own[key], other[key]) for key in own)
    assert set(weights(whole, BEST)) == set(load_network(whole).state_dict()), "the student alone is kept"
    assert [event["loss"] for event in epochs(whole)] == [event["loss"] for event in epochs(resumed)]


def test_peers_learn_from_the_label_and_from_each_other(way: Callable[..., Recipe], tmp_path: Path) -> None:
    run = distill(way("two peers"), tmp_path / "run")
    logged = epochs(run)[-1]["loss"]
    assert set(logged) == {
        "segmentation", "response", "peer a", "response of a", "peer b", "response of b", "total",
    }  # fmt: skip
    assert all(value > 0 for value in logged.values())
    before, after = epochs(run)[0]["loss"], epochs(run)[-1]["loss"]
    assert after["peer a"] < before["peer a"]
    assert run.info["teachers"] == {}, "there is no folder to look for"


def test_one_peer_for_every_site(way: Callable[..., Recipe], tmp_path: Path) -> None:
    data = make_phantom(tmp_path / "data", patients=8, size=(16, 16, 16), modalities=("CT",), sites=2)
    recipe = way("peer of each site", data={"path": str(data), "spacing": None})
    run = distill(recipe, tmp_path / "run")
    assert set(epochs(run)[0]["loss"]) == {
        "segmentation",
        "mutual",
        "peer peers S1",
        "peer peers S2",
        "total",
    }
    assert all(value > 0 for value in epochs(run)[-1]["loss"].values()), "each batch has both sites"


def test_one_site_is_told_and_many_are_refused(
    way: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = distill(way("peer of each site", data={"sites": "^S"}), tmp_path / "run")
    told = [event["message"] for event in run.events() if event["event"] == "warning"]
    assert any("data.sites finds one site in the names of the training cases (S)" in each for each in told)
    monkeypatch.setattr(sites, "MOST_SITES", 3)
    with pytest.raises(SegdistillError, match=r"data\.sites: .* finds 4 sites \(P000, .* at most 3"):
        distill(way("peer of each site", data={"sites": "P[0-9]+"}), tmp_path / "refused")


def test_several_optimizers_and_the_scaler_of_half_precision(way: Callable[..., Recipe]) -> None:
    with pytest.raises(
        SegdistillError, match=r"train\.precision: 16-mixed scales .* one optimizer.*bf16-mixed"
    ):
        way("peer", train={"precision": "16-mixed"})


def test_relations_of_a_batch_need_a_batch(way: Callable[..., Recipe], tmp_path: Path) -> None:
    terms = {"relation": {"loss": "batch_similarity", "student": "encoder/2"}}
    with pytest.raises(
        SegdistillError, match=r"terms\.relation\.loss: batch_similarity .* needs 2; .* leaves 1"
    ):
        distill(way("moving average", terms=terms, train={"accumulate": 4}), tmp_path / "run")


def test_critic_alone_distils(way: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = way("critic")
    recipe.terms = {}
    assert distill(recipe, tmp_path / "run").info["kind"] == "distilled"


def test_average_follows_the_student(way: Callable[..., Recipe], tmp_path: Path) -> None:
    run = distill(way("moving average"), tmp_path / "run")
    kept = weights(run)
    own = kept["distiller.student.encoder.0.0.0.weight"]
    average = kept["distiller.learning.teacher:average.encoder.0.0.0.weight"]
    assert 0 < (own - average).abs().mean() < own.abs().mean()


def test_phases_are_logged_and_do_what_they_say(way: Callable[..., Recipe], tmp_path: Path) -> None:
    run = distill(way("phases"), tmp_path / "run")
    first, second, third = epochs(run)
    assert [event["phase"] for event in (first, second, third)] == ["autoencoder", "distil", "distil"]
    assert set(first["loss"]) == {"latent reconstruction", "total"}
    assert set(second["loss"]) == {"segmentation", "latent", "response", "total"}
    assert first["lr"] == second["lr"] > third["lr"], "the schedule runs anew in every phase"


def test_critic_is_logged_beside_the_total(way: Callable[..., Recipe], tmp_path: Path) -> None:
    run = distill(way("critic"), tmp_path / "run")
    logged = epochs(run)[-1]["loss"]
    assert set(logged) == {"segmentation", "response", "holistic", "critic", "total"}
    taught = logged["segmentation"] + logged["response"] + logged["holistic"]
    assert logged["total"] == pytest.approx(taught, rel=1e-4)
    shares = next(event for event in run.events() if event["event"] == "share")["share"]
    assert set(shares) == {"segmentation", "response", "holistic"} and min(shares.values()) > 0


def test_ways_combine(way: Callable[..., Recipe], tmp_path: Path) -> None:
    """A run, a peer, a moving average, the student's own stages, a critic and phases, all at once."""
    everything: Settings = {"phases": [{"name": "one"}, {"name": "two", "terms": ["response", "own"]}]}
    everything["teachers"] = {"friend": {"peer": {}}, "average": {"average": {}}}
    everything["terms"] = {
        "own": {"loss": "attention_transfer", "teacher_is": "student", "student": "encoder/1"}
    }
    recipe = way("critic", **everything)
    with pytest.raises(SegdistillError, match=r"critic: teachers\.friend is a peer"):
        distill(recipe, tmp_path / "refused")
    del recipe.teachers["friend"]
    run = distill(recipe, tmp_path / "run")
    assert {"response", "holistic", "own"} <= set(epochs(run)[-1]["loss"])
