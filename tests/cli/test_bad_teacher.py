"""Teachers that are gone, are not finished, or do not fit; checkpoints that hold something else."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

Command = Callable[..., Any]
Refused = Callable[..., str]
Write = Callable[..., Path]
BEST, LAST = "checkpoints/best.safetensors", "checkpoints/last.safetensors"


@pytest.fixture
def refused_teacher(refused: Refused, trained: Any) -> Refused:
    """Distils `runs/teacher` by its own settings and those given; refused before there is a student."""

    def run(*more: object, told: list[str]) -> str:
        teacher = f"teachers.teacher.run={trained.run}"
        line = refused(
            "distill", "hinton", *trained.words[2:], teacher, *more, "--out", "runs/new", told=told
        )
        assert not trained.run.with_name("new").exists()
        return line

    return run


def test_a_teacher_that_is_gone(refused_teacher: Refused, trained: Any) -> None:
    shutil.rmtree(trained.run)
    told = ["teachers.teacher.run:", "runs/teacher is not a", "run", "segdistill train"]
    refused_teacher("teachers.teacher.network=null", told=told)


def test_a_teacher_that_was_never_named(refused_teacher: Refused) -> None:
    refused_teacher(
        "teachers.teacher.run=null", told=["teachers.teacher.run: is required", "segdistill train"]
    )


def test_a_teacher_that_is_not_finished(refused_teacher: Refused, trained: Any) -> None:
    trained.interrupt()
    told = ["teachers.teacher.run:", "runs/teacher is not", "finished", "go on with it", "--resume"]
    refused_teacher("teachers.teacher.network=null", told=told)


def test_a_teacher_of_other_channels(refused_teacher: Refused, volumes: Write) -> None:
    volumes(channels=("CT", "MR"))
    told = ["teachers.teacher.run: ", "no image channel 'PET'", "the data have: CT, MR"]
    refused_teacher("data.path=data", told=told)


def test_a_teacher_of_other_labels(refused_teacher: Refused, volumes: Write) -> None:
    file = volumes() / "dataset.json"
    file.write_text(file.read_text().replace('"tumour": 1', '"tumour": 1, "edge": 2'))
    refused_teacher(
        "data.path=data", told=["teachers.teacher.classes:", "knows tumour", "learns tumour, edge"]
    )


def test_a_teacher_of_other_spacing(refused_teacher: Refused) -> None:
    told = [
        "teachers.teacher answers for whole cases alone",
        "spacing: teacher",
        "knowledge is online; leave that",
    ]
    refused_teacher("data.spacing=[2,2,2]", "knowledge=online", told=told)


def test_a_teacher_of_volumes_for_a_student_of_slices(refused_teacher: Refused) -> None:
    told = ["teachers.teacher answers for whole cases alone", "it sees volumes, the student slices", "online"]
    sliced = ("data.slices={}", "data.spacing=[1,1,1]", "data.patch_size=[8,8]")
    refused_teacher(*sliced, "knowledge=online", told=told)


def test_a_teacher_of_one_patch_size_only(
    refused: Refused, volumes: Write, segdistill: Command, training: Callable[..., Any]
) -> None:
    volumes(shape=(32, 32, 32))
    fixed = "student={type: unetr, feature_size: 4, hidden_size: 16, mlp_size: 16, heads: 2}"
    words = [str(word) for word in training() if not str(word).startswith("student.")]
    assert segdistill(*words, fixed, "data.patch_size=[32,32,32]", "--out", "runs/fixed").code == 0
    told = [
        "teachers.teacher:",
        "made for patches of [32, 32, 32]",
        "data.patch_size [16, 16, 16]",
        "teacher's size, or knowledge=cached",
    ]
    small = ("data.patch_size=[16,16,16]", "knowledge=online", "--out", "runs/new")
    own = ("teachers.teacher.run=runs/fixed", *small)
    refused("distill", "hinton", *words[2:], *own, told=told)


def other_architecture(run: Path) -> list[str]:
    from safetensors.torch import load_file, save_file

    for name in (BEST, LAST):
        tensors = load_file(run / name)
        wider = {
            key: torch.cat([tensor, tensor]) if tensor.ndim else tensor for key, tensor in tensors.items()
        }
        save_file(wider, run / name, metadata={"state": '{"training": {"epoch": 2}, "optimizer": {}}'})
    return ["does not fit", "instead of", "another architecture", "compare the recipes"]


def other_names(run: Path) -> list[str]:
    from safetensors.torch import save_file

    for name in (BEST, LAST):
        save_file({"layer1.weight": torch.zeros(2)}, run / name)
    return ["does not fit", "missing", "another architecture"]


class Harm:
    """What a pickle can do when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("harm"),)


def a_pickle(run: Path) -> list[str]:
    for name in (BEST, LAST):
        (run / name).write_bytes(pickle.dumps(Harm()))
    return ["is a pickle", "was not read", "safetensors.torch.save_file"]


def a_file_of_torch(run: Path) -> list[str]:
    for name in (BEST, LAST):
        torch.save({"weight": torch.zeros(2), "harm": Harm()}, run / name)
    return ["is a pickle", "was not read", "safetensors.torch.save_file"]


def half_a_file(run: Path) -> list[str]:
    for name in (BEST, LAST):
        content = (run / name).read_bytes()
        (run / name).write_bytes(content[: len(content) // 2])
    return ["is damaged or not a safetensors file", "train again"]


def nothing(run: Path) -> list[str]:
    for name in (BEST, LAST):
        (run / name).write_bytes(b"")
    return ["is damaged or not a safetensors file", "train again"]


def no_file(run: Path) -> list[str]:
    (run / BEST).unlink()
    return ["best.safetensors: no such checkpoint", "deleted"]


CHECKPOINTS = (other_architecture, other_names, a_pickle, a_file_of_torch, half_a_file, nothing, no_file)


@pytest.mark.parametrize("damage", CHECKPOINTS, ids=lambda function: function.__name__)
def test_checkpoints(
    damage: Callable[[Path], list[str]],
    refused: Refused,
    refused_teacher: Refused,
    trained: Any,
    segdistill: Command,
) -> None:
    told = ["runs/teacher/checkpoints/best.safetensors", *damage(trained.run)]
    refused_teacher(told=told)
    refused("evaluate", trained.run, told=told)
    refused("predict", trained.run, *trained.images(), "--out", "mask.nii.gz", told=told)
    assert (
        segdistill(*trained.words, "--out", trained.run, "--resume").code == 0
    )  # there is nothing left to do
    if damage is not no_file:
        trained.interrupt()
        before = (trained.run / LAST).read_bytes()
        answer = segdistill(*trained.words, "--out", trained.run, "--resume")
        assert answer.code == 2 and all(text.replace("best", "last") in answer.err for text in told), (
            answer.err
        )
        assert (trained.run / LAST).read_bytes() == before
    assert not Path("harm").exists()
