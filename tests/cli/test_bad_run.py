"""Run folders that are there already, are something else, are in use, or were damaged: nothing is written over."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segdistill.run import Run

Command = Callable[..., Any]
Refused = Callable[..., str]
BEST = "checkpoints/best.safetensors"


@pytest.mark.parametrize("word", ["", "--resume", "--overwrite"])
@pytest.mark.parametrize("out", ["notes", "notes/thesis.tex", "notes/thesis.tex/run"])
def test_what_is_no_run_is_left_as_it_is(
    out: str, word: str, refused: Refused, trained: Any, tmp_path: Path
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.tex").write_text("the only copy")
    if out.endswith("run"):
        told = ["notes/thesis.tex/run cannot be made: notes/thesis.tex is a file", "choose another --out"]
    elif word:
        told = [f"{out} is not a run (it has no run.json)", "left as it is", "choose another --out"]
    else:
        told = [
            f"{out} exists: --resume goes on with it, --overwrite replaces it, --out names another folder"
        ]
    refused(*trained.words, "--out", out, *word.split(), told=told)
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["thesis.tex"]


def test_an_empty_folder_is_as_good_as_none(trained: Any, segdistill: Command, tmp_path: Path) -> None:
    for word in ("", "--resume", "--overwrite"):
        (tmp_path / f"empty{word}").mkdir()
        assert segdistill(*trained.words, "--out", f"empty{word}", *word.split()).code == 0


def test_a_finished_run_is_neither_trained_again_nor_replaced_without_a_word(
    refused: Refused, trained: Any, segdistill: Command
) -> None:
    refused(
        *trained.words, "--out", trained.run, told=["runs/teacher exists: --resume goes on", "--overwrite"]
    )
    both = ("--resume", "--overwrite")
    refused(*trained.words, "--out", trained.run, *both, told=["--resume and --overwrite exclude each other"])
    before = {
        path: (trained.run / path).read_bytes() for path in (BEST, "splits.json", "plan.json", "recipe.yaml")
    }
    epochs = [event for event in Run(trained.run).events() if event["event"] == "epoch"]
    assert segdistill(*trained.words, "--out", trained.run, "--resume").code == 0
    assert {path: (trained.run / path).read_bytes() for path in before} == before
    assert [event for event in Run(trained.run).events() if event["event"] == "epoch"] == epochs


def test_overwriting_begins_anew(trained: Any, segdistill: Command) -> None:
    before = (trained.run / BEST).read_bytes()
    (trained.run / "metrics.json").write_text("{}")
    assert segdistill(*trained.words, "train.seed=5", "--out", trained.run, "--overwrite").code == 0
    assert (trained.run / BEST).read_bytes() != before and not (trained.run / "metrics.json").exists()
    assert Run(trained.run).info["seed"] == 5


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("train.epoch=3", "'epochs'"),
        ("data.path=nowhere", "nowhere is not a folder"),
        ("data.splits.folds=9", "9 folds"),
        ("data.patch_size=[9,9,9]", "8 x 8 x 8"),
    ],
)
def test_a_run_is_not_replaced_by_what_cannot_begin(
    wrong: str, told: str, refused: Refused, trained: Any
) -> None:
    refused(*trained.words, wrong, "--out", trained.run, "--overwrite", told=[told])


def test_resuming_with_another_recipe(refused: Refused, trained: Any) -> None:
    more = ("train.epochs=3", "student.channels=[4,8]")
    told = ["runs/teacher was made by another recipe (different: student.channels, train.epochs)", "same one"]
    refused(*trained.words, *more, "--out", trained.run, "--resume", told=told)


@pytest.mark.parametrize("change", ["an image", "a case"])
def test_resuming_on_other_images(
    change: str, refused: Refused, trained: Any, segdistill: Command, tmp_path: Path
) -> None:
    shutil.copytree(trained.data, tmp_path / "data")
    words = (*trained.words, "data.path=data", "data.channels={CT: none, PET: none}", "--out", "runs/new")
    assert segdistill(*words).code == 0
    labels = tmp_path / "data" / "labelsTr"
    if change == "an image":
        images = tmp_path / "data" / "imagesTr"
        shutil.copy(images / "c0_0000.nii.gz", images / "c1_0000.nii.gz")
    else:
        for path in [labels / "c1.nii.gz", *(tmp_path / "data" / "imagesTr").glob("c1_*")]:
            path.unlink()
        file = tmp_path / "data" / "dataset.json"
        file.write_text(file.read_text().replace('"numTraining": 6', '"numTraining": 5'))
    refused(
        *words, "--resume", told=["runs/new was begun on other images or splits than data", "--overwrite"]
    )


HOLD = """
import sys
from pathlib import Path
from segdistill.run import Run
with Run(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_two_processes_on_one_run(refused: Refused, trained: Any) -> None:
    command = [sys.executable, "-c", HOLD, str(trained.run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "locked\n"
        for word in ("--resume", "--overwrite"):
            told = ["runs/teacher is being written by another process", "wait for it", "another --out"]
            refused(*trained.words, "--out", trained.run, word, told=told)
        other.communicate()


def test_the_baselines_folder_is_looked_at_before_the_student_is_trained(
    refused: Refused, trained: Any
) -> None:
    shutil.copytree(trained.run, trained.run.with_name("new_alone"))
    own = (f"teachers.teacher.run={trained.run}", "--out", "runs/new", "--baseline")
    refused("distill", "hinton", *trained.words[2:], *own, told=["runs/new_alone exists", "--resume"])
    assert not trained.run.with_name("new").exists()


@pytest.mark.parametrize("command", ["evaluate runs/teacher", "cost runs/teacher", "predict runs/teacher"])
def test_a_run_that_was_stopped_before_training(command: str, refused: Refused, trained: Any) -> None:
    info = json.loads((trained.run / "run.json").read_text())
    del info["architecture"], info["dataset"]
    (trained.run / "run.json").write_text(json.dumps(info))
    images = [*trained.images(), "-o", "mask.nii.gz"] if "predict" in command else []
    told = ["runs/teacher/run.json names no network", "before training began", "--resume"]
    refused(*command.split(), *images, told=told)


@pytest.mark.parametrize("content", [None, "{", "[]"])
@pytest.mark.parametrize(
    ("file", "commands"),
    [
        ("run.json", ["evaluate", "report", "cost", "train"]),
        ("plan.json", ["evaluate", "distill"]),
        ("splits.json", ["evaluate", "train"]),
        ("recipe.yaml", ["evaluate", "train"]),
    ],
)
def test_a_damaged_file_is_named(
    file: str, commands: list[str], content: str | None, refused: Refused, trained: Any
) -> None:
    (trained.run / file).unlink()
    if content is not None:
        (trained.run / file).write_text(content)
    for command in commands:
        words: tuple[object, ...] = (command, trained.run)
        if command == "train":
            words = (*trained.words, "--out", trained.run, "--resume")
        if command == "distill":
            words = (
                "distill",
                "hinton",
                *trained.words[2:],
                f"teachers.teacher.run={trained.run}",
                "--out",
                "runs/new",
            )
        refused(*words, told=["runs/teacher", file])


@pytest.mark.parametrize("cut", [1, 40, 400])
def test_a_log_that_was_cut_short(cut: int, trained: Any, segdistill: Command) -> None:
    log = trained.run / "log.jsonl"
    log.write_bytes(log.read_bytes()[:-cut] + b"\xff")
    assert segdistill("report", trained.run).code == 0
    trained.interrupt()
    assert segdistill(*trained.words, "--out", trained.run, "--resume").code == 0
    assert all(json.loads(line)["event"] for line in log.read_text().splitlines())
