"""Ignored voxels and overlapping regions, from the label file to the figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from segdistill.errors import SegdistillError
from segdistill.evaluation.evaluate import evaluate
from segdistill.recipe import Recipe
from segdistill.training.distill import distill
from segdistill.training.train import train


def write_set(out: Path, labels: dict[str, Any], more: dict[str, Any]) -> Path:
    """Eight CT volumes: a bright core (2) in a shell (1); a rim of 3 that nobody knows."""
    rng = np.random.default_rng(0)
    for folder in ("imagesTr", "labelsTr"):
        (out / folder).mkdir(parents=True)
    grid = np.stack(np.meshgrid(*[np.arange(20)] * 3, indexing="ij"))
    for number in range(8):
        centre = rng.uniform(8, 12, size=3)[:, None, None, None]
        distance = np.sqrt(((grid - centre) ** 2).sum(0))
        label = np.select([distance < 3, distance < 6, distance < 8], [2, 1, 3 if "ignore" in labels else 0])
        image = 100.0 * (distance < 6) + 100.0 * (distance < 3) + rng.normal(0, 5, size=label.shape)
        nib.save(
            nib.Nifti1Image(image.astype(np.float32), np.eye(4)), out / "imagesTr" / f"c{number}_0000.nii.gz"
        )
        nib.save(nib.Nifti1Image(label.astype(np.uint8), np.eye(4)), out / "labelsTr" / f"c{number}.nii.gz")
    described = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 8, "file_ending": ".nii.gz"}
    (out / "dataset.json").write_text(json.dumps(described | more))
    return out


def settings(tmp_path: Path, path: Path) -> dict[str, Any]:
    data = {"path": str(path), "store": str(tmp_path / "store"), "patch_size": [16, 16, 16], "workers": 0}
    fast = {"epochs": 4, "iterations": 15, "optimizer": {"lr": 2e-2}, "best": "loss"}
    return {
        "data": data | {"splits": {"folds": 3}},
        "student": {"type": "unet", "channels": [4, 8]},
        "train": fast,
    }


def test_overlapping_regions_train_distil_and_are_scored_as_regions(tmp_path: Path) -> None:
    labels = {"background": 0, "whole": [1, 2], "core": 2}
    data = write_set(tmp_path / "data", labels, {"regions_class_order": [1, 2]})
    common = settings(tmp_path, data)
    teacher = train(Recipe.load("student_alone", common), tmp_path / "teacher")
    assert teacher.info["architecture"]["facts"]["out_channels"] == 2
    section = {"teachers": {"teacher": {"run": str(teacher.path)}}}
    run = distill(Recipe.load("hinton", common, section), tmp_path / "student")
    figures = evaluate(teacher)
    assert figures["classes"] == ["whole", "core"]
    assert figures["summary"]["whole"]["dice"]["mean"] > 0.8
    mask = np.asanyarray(nib.load(next(teacher.file("predictions").glob("*.nii.gz"))).dataobj)
    assert set(np.unique(mask)) <= {0, 1, 2}
    assert run.events()[-1]["loss"]["response"] >= 0


def test_ignored_voxels_are_left_out_of_losses_and_figures(tmp_path: Path) -> None:
    labels = {"background": 0, "shell": 1, "core": 2, "ignore": 3}
    data = write_set(tmp_path / "data", labels, {})
    common = settings(tmp_path, data)
    run = train(Recipe.load("student_alone", common), tmp_path / "run")
    figures = evaluate(run)
    assert figures["classes"] == ["shell", "core"]
    # An answer that fills the ignored rim loses nothing by it.
    for row in figures["cases"]:
        label = np.asanyarray(nib.load(data / "labelsTr" / f"{row['case']}.nii.gz").dataobj)
        answer = np.asanyarray(nib.load(run.file("predictions") / f"{row['case']}.nii.gz").dataobj)
        value = labels[row["class"]]
        assert row["prediction_voxels"] == np.sum((answer == value) & (label != 3))
    assert figures["summary"]["shell"]["dice"]["mean"] > 0.6


@pytest.mark.parametrize("wanted", [True, False])
def test_tensorboard_is_written_where_it_is_wanted(tmp_path: Path, wanted: bool) -> None:
    data = write_set(tmp_path / "data", {"background": 0, "shell": 1, "core": 2}, {})
    common = settings(tmp_path, data) | {"train": {"epochs": 1, "iterations": 1, "tensorboard": wanted}}
    run = train(Recipe.load("student_alone", common), tmp_path / "run")
    assert bool(list(run.path.glob("tensorboard/events*"))) == wanted


def test_a_class_called_mean_is_told_before_training_and_can_be_renamed(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", {"background": 0, "shell": 1, "mean": 2}, {})
    common = settings(tmp_path, data)
    with pytest.raises(SegdistillError, match="a class is called 'mean'"):
        train(Recipe.load("student_alone", common), tmp_path / "run")
    renamed = Recipe.load(
        "student_alone", common, {"data": {"labels": {"core": 2}}, "train": {"iterations": 1}}
    )
    assert evaluate(train(renamed, tmp_path / "run"))["classes"] == ["core"]
