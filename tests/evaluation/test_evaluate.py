from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from segdistill.data.phantom import make_phantom
from segdistill.errors import SegdistillError
from segdistill.evaluation.evaluate import evaluate
from segdistill.model import BEST
from segdistill.recipe import Recipe
from segdistill.run import Run
from segdistill.training.train import train


def trained(folder: Path) -> Run:
    """A run of one step on volumes, which lie in `folder`/data."""
    data = make_phantom(folder / "data", patients=6, size=(16, 16, 16), modalities=("CT",))
    recipe = Recipe.load(
        "student_alone", data={"path": str(data), "store": str(folder / "store"), "patch_size": [16, 16, 16],
        "workers": 0}, student={"channels": [2, 4]}, train={"epochs": 1, "iterations": 1},
    )  # fmt: skip
    return train(recipe, folder / "run")


def test_only_slices_with_foreground_count(tmp_path: Path) -> None:
    """A false alarm in a slice without tumour costs nothing then; the file's axes are x, z, y."""
    data = make_phantom(tmp_path / "data", patients=6, size=(16, 16, 16), modalities=("CT",))
    for file in [*(data / "imagesTr").iterdir(), *(data / "labelsTr").iterdir()]:
        image = nibabel.load(file)
        turned = np.asarray(image.dataobj).transpose(0, 2, 1)
        nibabel.save(nibabel.Nifti1Image(turned, image.affine[:, [0, 2, 1, 3]]), file)
    recipe = Recipe.load(
        "student_alone", data={"path": str(data), "store": str(tmp_path / "store"), "patch_size": [16, 16],
        "slices": {"axis": 2}, "workers": 0}, student={"channels": [2, 4]},
        train={"epochs": 1, "iterations": 1}, evaluate={"slices": "foreground"},
    )  # fmt: skip
    run = train(recipe, tmp_path / "run")
    found = evaluate(run)
    for row in found["cases"]:
        label = np.asarray(nibabel.load(data / "labelsTr" / f"{row['case']}.nii.gz").dataobj) > 0
        answer = np.asarray(nibabel.load(run.file("predictions") / f"{row['case']}.nii.gz").dataobj) > 0
        there = label.any(axis=(0, 2), keepdims=True)  # z is the file's second axis
        assert 0 < there.mean() < 1
        answer = answer & there
        both = 2 * (answer & label).sum() / (answer.sum() + label.sum())
        assert row["dice"] == pytest.approx(both)
        assert row["rvd"] == pytest.approx(answer.sum() / label.sum() - 1)


def test_figures_of_a_student_that_training_replaced_meanwhile_are_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(tmp_path)

    def better_one_kept(*_: object) -> dict[str, object]:
        run.file(BEST).touch()
        return {}

    monkeypatch.setattr("segdistill.evaluation.evaluate.summaries", better_one_kept)
    with pytest.raises(SegdistillError, match="kept a better student meanwhile"):
        evaluate(run)
    assert not run.file("metrics.json").exists()


def test_slices_are_for_runs_of_slices() -> None:
    with pytest.raises(SegdistillError, match=r"evaluate\.slices: is for volumes that are read as slices"):
        Recipe.load("student_alone", evaluate={"slices": "foreground"})


def test_calibration_and_lesions_stand_beside_the_rows(tmp_path: Path) -> None:
    run = trained(tmp_path)
    data = tmp_path / "data"
    found = evaluate(run)
    cases = [row["case"] for row in found["cases"]]
    assert [row["case"] for row in found["calibration"]] == [row["case"] for row in found["lesions"]] == cases
    for row, sure, lesions in zip(found["cases"], found["calibration"], found["lesions"], strict=True):
        assert sum(sure["image"]["bins"]["n"]) == 16**3
        assert 0 <= sure["image"]["ece"] <= 1 and 0 <= sure["image"]["brier"] <= 2
        # Right are the voxels in which mask and label agree.
        label, answer = (
            np.asarray(nibabel.load(folder / f"{row['case']}.nii.gz").dataobj)
            for folder in (data / "labelsTr", run.file("predictions"))
        )
        assert sum(sure["image"]["bins"]["correct"]) == (label == answer).sum()
        spacing = nibabel.load(data / "labelsTr" / f"{row['case']}.nii.gz").header.get_zooms()
        volume = sum(one["volume"] for one in lesions["reference"])
        assert volume == pytest.approx(row["reference_voxels"] * np.prod(spacing), rel=1e-4)
    again = evaluate(run, predictions=False)
    assert again["calibration"] == found["calibration"]
