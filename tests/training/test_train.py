"""Whole small trainings: what a run keeps, and what an interruption must not change."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import segdistill
from segdistill import checkpoint
from segdistill.errors import SegdistillError
from segdistill.model import BEST, LAST, load_network
from segdistill.recipe import Recipe
from segdistill.run import Run
from segdistill.training import loop
from segdistill.training.distill import alone, distill
from segdistill.training.train import train

Settings = dict[str, Any]


def recipe(name: str, tiny: Settings, **sections: Any) -> Recipe:
    return Recipe.load(name, tiny, sections)


@pytest.fixture(scope="module")
def teacher(tiny: Settings, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "teacher"
    return train(recipe("student_alone", tiny, student={"channels": [8, 16]}), out)


def hinton(tiny: Settings, teacher: Run, **train_section: Any) -> Recipe:
    return recipe("hinton", tiny, teachers={"teacher": {"run": str(teacher.path)}}, train=train_section)


def weights(run: Run, which: str = LAST) -> dict[str, torch.Tensor]:
    return checkpoint.load(run.file(which))[0]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@contextmanager
def broken_off(monkeypatch: pytest.MonkeyPatch, kill_at: int) -> Iterator[None]:
    """Within it, training is interrupted before step `kill_at`; that it was is asserted."""
    step = loop.one_step

    def breaks_off(fabric: Any, model: Any, optimizer: Any, stream: Any, number: int, *rest: Any) -> Any:
        if number == kill_at:
            raise KeyboardInterrupt
        return step(fabric, model, optimizer, stream, number, *rest)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(loop, "one_step", breaks_off)
        yield


def test_a_run_keeps_what_decided_it_and_what_came_of_it(teacher: Run) -> None:
    assert teacher.finished
    assert teacher.info["kind"] == "alone"
    assert teacher.recipe.data.augmentation is not None  # a default that nobody wrote
    assert teacher.recipe.train.optimizer["weight_decay"] == 1e-4
    epochs = [event for event in teacher.events() if event["event"] == "epoch"]
    assert [event["epoch"] for event in epochs] == [0, 1, 2]
    assert set(epochs[0]["loss"]) == {"segmentation", "total"}
    assert 0 <= epochs[0]["validation"]["dice"] <= 1
    used = {*teacher.splits.train, *teacher.splits.validation, *teacher.splits.test}
    assert len(used) == 8 and len(teacher.splits.test) == 2


def test_distilling_logs_each_term_and_leaves_teacher_and_projectors_out_of_the_student(
    tiny: Settings, teacher: Run, tmp_path: Path
) -> None:
    terms = {"hint": {"loss": {"type": "mse"}, "student": "decoder/1", "projector": {"type": "convolution"}}}
    before = weights(teacher)
    run = distill(
        recipe("hinton", tiny, teachers={"teacher": {"run": str(teacher.path)}}, terms=terms), tmp_path / "s"
    )
    last = [event for event in run.events() if event["event"] == "epoch"][-1]
    assert set(last["loss"]) == {"segmentation", "response", "hint", "total"}
    assert last["loss"]["total"] == pytest.approx(
        sum(v for k, v in last["loss"].items() if k != "total"), rel=1e-5
    )
    shares = next(event for event in run.events() if event["event"] == "share")["share"]
    assert sum(shares.values()) == pytest.approx(1)
    pairs = [event for event in run.events() if event["event"] == "pair"]
    assert {(p["term"], p["projected"]) for p in pairs} == {("response", False), ("hint", True)}
    assert set(weights(run, BEST)) == set(load_network(run).state_dict())
    assert any("projector" in name for name in weights(run))
    assert same(before, weights(teacher))


def test_the_same_seed_gives_the_same_weights_and_another_seed_does_not(
    tiny: Settings, teacher: Run, tmp_path: Path
) -> None:
    first, again, other = (
        train(recipe("student_alone", tiny, train={"seed": seed}), tmp_path / name)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert same(weights(first), weights(again))
    assert not same(weights(first), weights(other))


@pytest.mark.parametrize("kill_at", [0, 1, 3, 5])
def test_a_run_that_breaks_off_at_any_step_ends_with_the_same_weights(
    tiny: Settings, teacher: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int
) -> None:
    student = {
        "type": "h_denseformer",
        "filters": 2,
        "depth": 4,
        "dropout": 0.5,
    }  # dropout draws random numbers
    settings = {
        **tiny,
        "data": {**tiny["data"], "patch_size": [32, 32, 32]},
        "train": {"epochs": 3, "iterations": 2},
    }
    taught = {"teachers": {"teacher": {"run": str(teacher.path)}}, "student": student}
    wanted = Recipe.load("hinton", settings, taught)
    whole = distill(wanted, tmp_path / "whole")
    with broken_off(monkeypatch, kill_at):
        distill(wanted, tmp_path / "cut")
    resumed = distill(wanted, tmp_path / "cut", if_exists="resume")
    assert same(weights(whole), weights(resumed))
    assert same(weights(whole, BEST), weights(resumed, BEST))

    def logged(run: Run) -> list[Any]:
        return [(e["epoch"], e["loss"]) for e in run.events() if e["event"] == "epoch"]

    assert logged(whole) == logged(resumed)


@pytest.mark.slow
def test_sigkill_and_resume_on_the_command_line(tiny: Settings, tmp_path: Path) -> None:
    data = f"data.path={tiny['data']['path']}"
    command = [
        sys.executable,
        "-m",
        "segdistill",
        "train",
        "student_alone",
        data,
        "data.patch_size=[16,16,16]",
    ]
    command += [
        "data.splits.folds=3",
        "train.epochs=30",
        "train.iterations=3",
        "student.channels=[4,8]",
        "--no-report",
    ]
    subprocess.run([*command, "--out", "whole"], cwd=tmp_path, check=True)
    process = subprocess.Popen([*command, "--out", "cut"], cwd=tmp_path)
    while len(Run(tmp_path / "cut").events()) < 5:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run([*command, "--out", "cut", "--resume"], cwd=tmp_path, check=True)
    assert same(weights(Run(tmp_path / "whole")), weights(Run(tmp_path / "cut")))


def test_accumulation_changes_memory_not_the_result(tiny: Settings, tmp_path: Path) -> None:
    whole = train(recipe("student_alone", tiny), tmp_path / "whole")
    parts = train(recipe("student_alone", tiny, train={"accumulate": 2}), tmp_path / "parts")
    for name, tensor in weights(whole, BEST).items():
        torch.testing.assert_close(tensor, weights(parts, BEST)[name], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_two_processes_see_the_same_losses_as_one(tiny: Settings, tmp_path: Path) -> None:
    """Teach-Former's Swin network has a stage without gradient, which must not hang the processes either."""
    data, swin = (
        f"data.path={tiny['data']['path']}",
        "student={type: swin_unetr, feature_size: 12, window: 4}",
    )
    command = [
        sys.executable,
        "-m",
        "segdistill",
        "train",
        "student_alone",
        data,
        swin,
        "data.patch_size=[32,32,32]",
    ]
    command += [
        "train.epochs=2",
        "train.iterations=2",
        "data.splits.folds=3",
        "data.workers=0",
        "--no-report",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for name, more in (("one", []), ("two", ["train.devices=2", "train.accelerator=cpu"])):
        subprocess.run(
            [*command, *more, "--out", name], cwd=tmp_path, check=True, env=environment, timeout=600
        )

    def totals(name: str) -> list[float]:
        return [e["loss"]["total"] for e in Run(tmp_path / name).events() if e["event"] == "epoch"]

    assert totals("two") == pytest.approx(totals("one"), abs=1e-5)


def test_early_stopping_ends_a_run_that_no_longer_improves(tiny: Settings, tmp_path: Path) -> None:
    still = {"epochs": 20, "optimizer": {"lr": 1e-9}, "early_stopping": {"patience": 2, "monitor": "dice"}}
    run = train(recipe("student_alone", tiny, train=still), tmp_path / "s")
    assert len([e for e in run.events() if e["event"] == "epoch"]) == 3
    assert run.finished


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_checkpoint(
    tiny: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = loop.check_finite

    def breaks(losses: dict[str, torch.Tensor], epoch: int, number: int) -> None:
        step(losses | {"total": losses["total"] * (float("nan") if number == 3 else 1)}, epoch, number)

    monkeypatch.setattr(loop, "check_finite", breaks)
    with pytest.raises(SegdistillError, match=r"no longer a number in epoch 2, step 3 .*train.optimizer.lr"):
        train(recipe("student_alone", tiny), tmp_path / "s")
    assert checkpoint.load(tmp_path / "s" / LAST)[1]["training"]["epoch"] == 1


def test_what_is_there_is_not_written_over_without_a_word(tiny: Settings, teacher: Run) -> None:
    before = teacher.file("run.json").read_bytes()
    with pytest.raises(SegdistillError, match="--resume goes on with it, --overwrite replaces it"):
        train(recipe("student_alone", tiny), teacher.path)
    with pytest.raises(SegdistillError, match=r"made by another recipe \(different: student.channels"):
        train(recipe("student_alone", tiny), teacher.path, if_exists="resume")
    assert teacher.file("run.json").read_bytes() == before


def test_a_teacher_of_other_data_cannot_answer_in_every_step(
    tiny: Settings, teacher: Run, tmp_path: Path
) -> None:
    with pytest.raises(
        SegdistillError,
        match=r"teachers.teacher answers for whole cases alone \(spacing: teacher .*is online",
    ):
        other = hinton(tiny, teacher)
        other.data.spacing = [10.0, 10.0, 10.0]
        other.knowledge.type = "online"
        distill(other, tmp_path / "s")
    gone = recipe("hinton", tiny, teachers={"teacher": {"run": str(tmp_path / "gone"), "network": None}})
    with pytest.raises(SegdistillError, match=r"teachers.teacher.run: .*gone is not a finished run"):
        distill(gone, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_pickle_in_place_of_a_checkpoint_is_refused_and_not_run(
    tiny: Settings, teacher: Run, tmp_path: Path
) -> None:
    run = train(recipe("student_alone", tiny, train={"epochs": 1}), tmp_path / "s")

    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "harm",))

    run.file(BEST).write_bytes(pickle.dumps(Harm()))
    with pytest.raises(SegdistillError, match="is a pickle"):
        load_network(run)
    assert not (tmp_path / "harm").exists()


def test_teachers_that_are_not_there_are_trained_first(tiny: Settings, tmp_path: Path) -> None:
    section = {"teacher": {"run": str(tmp_path / "t"), "network": {"type": "unet", "channels": [8, 16]}}}
    wanted = recipe("hinton", tiny, teachers=section)
    run = distill(wanted, tmp_path / "s")
    trained = Run.open(tmp_path / "t")
    assert trained.finished and trained.info["kind"] == "alone"
    assert run.info["teachers"] == {"teacher": str((tmp_path / "t").resolve())}
    baseline = alone(wanted, tmp_path / "alone")
    assert baseline.recipe.segmentation.weight == 1 and not baseline.recipe.terms
    assert baseline.recipe.student == run.recipe.student


def test_what_does_not_fit_is_told_before_a_teacher_is_trained(tiny: Settings, tmp_path: Path) -> None:
    section = {"teacher": {"run": str(tmp_path / "t"), "network": {"type": "unet", "channels": [8, 16]}}}
    wrong = recipe("hinton", tiny, teachers=section, terms={"response": {"student": "encoder/64"}})
    with pytest.raises(SegdistillError, match=r"no stage .encoder.64"):
        distill(wrong, tmp_path / "s")
    assert not (tmp_path / "t").exists() and not (tmp_path / "s").exists()


def test_a_student_never_takes_the_place_of_its_teacher(tiny: Settings, teacher: Run) -> None:
    with pytest.raises(SegdistillError, match=r"teachers.teacher.run and --out are one folder"):
        distill(hinton(tiny, teacher), teacher.path, if_exists="overwrite")
    assert teacher.finished


def test_figures_of_an_earlier_checkpoint_do_not_survive_a_resume(
    tiny: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recipe("student_alone", tiny, train={"best": "loss"})
    with broken_off(monkeypatch, 3):
        train(wanted, tmp_path / "s")
    run = Run.open(tmp_path / "s")
    segdistill.evaluate(run)
    train(wanted, run.path, if_exists="resume")
    assert not run.file("metrics.json").exists()


def test_a_teacher_that_knows_the_test_cases_is_warned_about(tiny: Settings, tmp_path: Path) -> None:
    other = {
        "splits": {"folds": 3, "seed": 7},
        "spacing": [16.0, 16.0, 16.0],
        "channels": {"CT": "none", "PET_SUV": "none"},
    }
    data = tiny["data"] | other
    teacher = train(Recipe.load("student_alone", tiny, {"data": data}), tmp_path / "t")
    mine = {
        "data": data | {"splits": {"folds": 3, "seed": 0}},
        "teachers": {"teacher": {"run": str(teacher.path)}},
    }
    run = distill(Recipe.load("hinton", tiny, mine), tmp_path / "s")
    leaked = set(teacher.splits.train) & set(run.splits.test)
    warned = [event["message"] for event in run.events() if event["event"] == "warning"]
    assert leaked and any("was trained on" in message and "test cases" in message for message in warned)


def test_networks_of_ones_own(tiny: Settings, tmp_path: Path) -> None:
    class Light(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.down = nn.Conv3d(2, width, 3, stride=2, padding=1)
            self.up = nn.ConvTranspose3d(width, 2, 2, stride=2)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.up(self.down(image).relu())

    student = segdistill.name_stages(Light(4), {"encoder/2": "down"})
    heavy = segdistill.name_stages(Light(16), {"encoder/2": "down"})
    terms = {"hint": {"loss": {"type": "attention_transfer"}, "student": "encoder/2"}}
    run = segdistill.distill(
        recipe("hinton", tiny, terms=terms), tmp_path / "s", student=student, teachers={"heavy": heavy}
    )
    figures = segdistill.evaluate(run, network=Light(4))
    assert 0 <= figures["summary"]["mean"]["dice"]["mean"] <= 1
    with pytest.raises(SegdistillError, match="network of your own"):
        segdistill.evaluate(run)
