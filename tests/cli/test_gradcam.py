"""`gradcam`: several runs side by side in one picture, and what is told where there can be none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Command = Callable[..., Any]
TINY = ("data.patch_size=[8,8,8]", "data.batch_size=2", "data.workers=0", "data.splits.folds=3",
        "data.augmentation=null", "student.channels=[2,4]", "train.epochs=1", "train.iterations=1")  # fmt: skip


def picture(name: str) -> np.ndarray:
    """(rows, columns, 3)."""
    with Image.open(name) as image:
        return np.asarray(image.convert("RGB"))


def taught(trained: Any, **teachers: Path) -> Path:
    """The run again, as one that says it was taught by others."""
    run = trained.run.parent / "student"
    shutil.copytree(trained.run, run)
    info = json.loads((run / "run.json").read_text())
    named = {name: str(path) for name, path in teachers.items()}
    (run / "run.json").write_text(json.dumps(info | {"teachers": named}))
    return run


def test_runs_side_by_side_with_their_teachers_in_front(trained: Any, segdistill: Command) -> None:
    run = taught(trained, big=trained.run)
    test = json.loads((run / "splits.json").read_text())["test"][0]
    one = segdistill("gradcam", run, "--out", "one.png")
    assert one.code == 0 and not one.out, one
    assert one.err.startswith("one.png: student: patch Dice ") and one.err.count("\n") == 1
    both = segdistill(
        "gradcam", run, trained.run, "--teachers", "--case", test, "--class", "tumour", "--out", "b.png"
    )
    assert both.code == 0, both
    # The teacher is shown once, although it is named twice; the networks are the same.
    first, second = both.err.removeprefix("b.png: ").strip().split("; ")
    assert first.startswith("big (teacher): ") and second.startswith("student: ")
    assert first.partition(": ")[2] == second.partition(": ")[2]
    small, large = picture("one.png"), picture("b.png")
    assert small.shape[1] > 400 and large.shape[1] > 1.2 * small.shape[1]
    assert large.std() > 5


def test_any_stage_and_the_voxels_of_the_reference(trained: Any, segdistill: Command) -> None:
    seen = set()
    for stage in ("encoder/1", "encoder/2", "decoder/last"):
        words = ("--stage", stage, "--over", "reference", "--out", f"{len(seen)}.png")
        answer = segdistill("gradcam", trained.run, *words)
        assert answer.code == 0 and "to explain" not in answer.err, answer
        seen.add(Path(f"{len(seen)}.png").read_bytes())
    assert len(seen) == 3


def test_a_case_of_the_training_is_no_evidence(trained: Any, segdistill: Command) -> None:
    case = json.loads((trained.run / "splits.json").read_text())["train"][0]
    answer = segdistill("gradcam", trained.run, "--case", case, "--out", "a.png")
    assert answer.code == 0 and f"was trained on case {case}; its answer there is no evidence" in answer.err


def test_photographs_and_slices(volumes: Command, photographs: Command, segdistill: Command) -> None:
    photographs("photographs")
    volumes("volumes", shape=(12, 10, 9), affine=np.diag([1.0, 1, 3, 1]))
    small = (*TINY[1:], "data.patch_size=[8,8]", "--no-report")
    assert segdistill("train", "student_alone", "data.path=photographs", *small, "--out", "flat").code == 0
    cut = ("data.slices={axis: 1}", "data.path=volumes", *small)
    assert segdistill("train", "student_alone", *cut, "--out", "cut").code == 0
    for run in ("flat", "cut"):
        answer = segdistill("gradcam", run, "--over", "reference", "--out", f"{run}.png")
        assert answer.code == 0 and picture(f"{run}.png").shape[1] > 400, answer


def test_what_is_not_there_is_told_with_the_choices(trained: Any, refused: Any) -> None:
    run = trained.run
    test = json.loads((run / "splits.json").read_text())["test"]
    refused("gradcam", run, "--class", "liver", "--out", "a.png", told=["'liver'", "tumour", "--class"])
    refused("gradcam", run, "--case", "c99", "--out", "a.png", told=["'c99'", *test, "--case"])
    refused(
        "gradcam",
        run,
        "--stage",
        "encoder/64",
        "--out",
        "a.png",
        told=["'encoder/64'", "encoder/1", "logits"],
    )
    refused("gradcam", "nowhere", "--out", "a.png", told=["nowhere is not a run"])
    refused(
        "gradcam", run, "--teachers", "--out", "a.png", told=["--teachers", "none of the runs has a teacher"]
    )
    refused("gradcam", run, "--out", "a.jpg", told=["a.jpg", ".png"])


def test_a_teacher_that_is_gone_is_told(trained: Any, refused: Any) -> None:
    run = taught(trained, big=Path("gone"))
    refused(
        "gradcam", run, "--teachers", "--out", "a.png", told=["teacher big", "gone", "leave out --teachers"]
    )


def test_a_picture_is_not_written_over(
    trained: Any, refused: Any, segdistill: Command, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_text("mine")
    refused("gradcam", trained.run, "--out", "a.png", told=["a.png exists", "--overwrite"])
    assert segdistill("gradcam", trained.run, "--out", "a.png", "--overwrite").code == 0
    assert picture("a.png").ndim == 3


def test_runs_of_other_images_are_not_compared(
    trained: Any, train: Command, volumes: Command, refused: Any
) -> None:
    volumes(shape=(9, 8, 8))
    assert train("--out", "runs/other").code == 0
    refused("gradcam", trained.run, "runs/other", "--out", "a.png", told=["runs/other", "another grid"])


@pytest.mark.parametrize("command", [("gradcam",)])
def test_without_words_it_shows_its_help(command: tuple[str, ...], segdistill: Command) -> None:
    answer = segdistill(*command)
    assert answer.code == 2 and "Usage: segdistill" in answer.out
