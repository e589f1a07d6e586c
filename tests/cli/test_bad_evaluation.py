"""`evaluate` and `predict` on what is not there or does not fit: told early, and no mask or figure is lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

Command = Callable[..., Any]
Refused = Callable[..., str]


@pytest.fixture
def evaluated(trained: Any, segdistill: Command, tmp_path: Path) -> Path:
    """A copy of the dataset in `data`, and the run, now of that copy, with its figures."""
    shutil.copytree(trained.data, tmp_path / "data")
    recipe = trained.run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace(str(trained.data), "data"))
    assert segdistill("evaluate", trained.run).code == 0
    return tmp_path / "data"


def test_data_that_moved(evaluated: Path, refused: Refused, tmp_path: Path) -> None:
    evaluated.rename(tmp_path / "elsewhere")
    told = ["runs/teacher/recipe.yaml, data.path: data is not a folder", f"seen from {tmp_path}"]
    refused("evaluate", "runs/teacher", told=told)


def test_cases_that_are_gone(evaluated: Path, refused: Refused) -> None:
    test = json.loads(Path("runs/teacher/splits.json").read_text())["test"][0]
    for path in [evaluated / "labelsTr" / f"{test}.nii.gz", *(evaluated / "imagesTr").glob(f"{test}_*")]:
        path.unlink()
    file = evaluated / "dataset.json"
    file.write_text(file.read_text().replace('"numTraining": 6', '"numTraining": 5'))
    refused("evaluate", "runs/teacher", told=[f"data has no case '{test}'", "it has 5, such as"])


def test_an_image_that_was_damaged_since(evaluated: Path, refused: Refused) -> None:
    for path in (evaluated / "imagesTr").glob("*_0001.nii.gz"):
        path.write_bytes(path.read_bytes()[:-30])
    refused("evaluate", "runs/teacher", told=["_0001.nii.gz is truncated or damaged", "copy or download"])


@pytest.mark.parametrize("change", ["moved", "undeclared"])
def test_a_label_that_was_changed_since(change: str, evaluated: Path, refused: Refused) -> None:
    for path in (evaluated / "labelsTr").iterdir():
        image = nibabel.load(path)
        array, affine = np.asarray(image.dataobj), image.affine
        if change == "moved":
            nibabel.save(nibabel.Nifti1Image(array, np.diag([1.0, 1, 2, 1])), path)
        else:
            nibabel.save(nibabel.Nifti1Image(array * np.uint8(4), affine), path)
    told = {"moved": "lies on another grid", "undeclared": "label values 4 are not declared"}[change]
    refused("evaluate", "runs/teacher", "--no-predictions", told=["data/labelsTr/", told])


def test_a_run_without_test_cases(trained: Any, segdistill: Command, refused: Refused) -> None:
    assert segdistill(*trained.words, "data.splits.test=0", "--out", "runs/new").code == 0
    told = ["runs/new has no test cases", "--subset validation"]
    refused("evaluate", "runs/new", "--subset", "test", told=told)


PREDICTIONS = {
    "a missing image": (["data/no.nii.gz", "data/b.nii.gz"], "mask.nii.gz", "data/no.nii.gz does not exist"),
    "a channel too few": (["data/a.nii.gz"], "mask.nii.gz", "data/a.nii.gz: 1 channels where 2 are expected (CT, PET)"),
    "a channel too many": (["data/a.nii.gz"] * 3, "mask.nii.gz", "3 channels where 2 are expected (CT, PET)"),
    "channels on two grids": (["data/a.nii.gz", "data/far.nii.gz"], "mask.nii.gz", "far.nii.gz is on another grid"),
    "an image of NaN": (["data/a.nii.gz", "data/nan.nii.gz"], "mask.nii.gz", "data/nan.nii.gz holds NaN or infinity"),
    "half an image": (["data/a.nii.gz", "data/half.nii.gz"], "mask.nii.gz", "data/half.nii.gz is truncated or damaged"),
    "a photograph": (["data/p.png", "data/p.png"], "mask.png", "mask.png: a volume cannot be written as .png"),
    "a photograph for a volume": (["data/p.png", "data/p.png"], "mask.nii.gz", "2 spatial dimensions"),
    "a folder": (["data"], "mask.nii.gz", "data: format not known; known are .nii.gz"),
    "an unknown ending": (["data/a.nii.gz", "data/b.nii.gz"], "mask.xyz", "mask.xyz: format not known; known are"),
    "no ending": (["data/a.nii.gz", "data/b.nii.gz"], "mask", "mask: format not known; known are .nii.gz"),
    "a picture for a volume": (["data/a.nii.gz", "data/b.nii.gz"], "mask.png", "a volume cannot be written as .png"),
    "a lossy picture": (["data/a.nii.gz", "data/b.nii.gz"], "mask.jpg", "a volume cannot be written as .jpg"),
    "two files": (["data/a.nii.gz", "data/b.nii.gz"], "mask.mhd", "mask.mhd: labels are written as one file"),
    "an existing mask": (["data/a.nii.gz", "data/b.nii.gz"], "old.nii.gz", "old.nii.gz exists: --overwrite replaces"),
    "below a file": (["data/a.nii.gz", "data/b.nii.gz"], "old.nii.gz/mask.nii", "mask.nii could not be written"),
}  # fmt: skip


@pytest.fixture
def files(tmp_path: Path, trained: Any) -> Path:
    """Images good and bad, and a mask of earlier, in the folder of the test."""
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    image = rng.normal(0, 1, (8, 9, 10)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), folder / "a.nii.gz")
    nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), folder / "b.nii.gz")
    nibabel.save(nibabel.Nifti1Image(image, np.diag([2.0, 2, 2, 1])), folder / "far.nii.gz")
    image[0, 0, 0] = np.nan
    nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), folder / "nan.nii.gz")
    (folder / "half.nii.gz").write_bytes((folder / "b.nii.gz").read_bytes()[:300])
    Image.new("L", (9, 8)).save(folder / "p.png")
    (tmp_path / "old.nii.gz").write_bytes(b"a mask of earlier")
    return folder


@pytest.mark.parametrize("name", PREDICTIONS)
def test_prediction(name: str, files: Path, refused: Refused) -> None:
    images, out, told = PREDICTIONS[name]
    refused("predict", "runs/teacher", *images, "--out", out, told=[told])


@pytest.mark.parametrize("number", [0, 1])
def test_a_mask_never_replaces_an_image(number: int, files: Path, refused: Refused, tmp_path: Path) -> None:
    images = [files / "a.nii.gz", files / "b.nii.gz"]
    (tmp_path / "link.nii.gz").symlink_to(images[number])
    for out in (images[number], "link.nii.gz"):
        told = [f"{out} is one of the images", "choose another --out"]
        refused("predict", "runs/teacher", *images, "--out", out, "--overwrite", told=told)


def test_what_cannot_be_written_is_told_before_anything_is_computed(
    files: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segdistill.evaluation import predict

    def computes(*_: object, **__: object) -> None:
        pytest.fail("hours were spent on a mask that cannot be written")

    monkeypatch.setattr(predict, "predict_logits", computes)
    for out in ("mask.xyz", "mask.png", "mask.mhd"):
        refused("predict", "runs/teacher", files / "a.nii.gz", files / "b.nii.gz", "--out", out, told=[out])


def test_an_old_mask_is_replaced_where_that_is_said(files: Path, segdistill: Command, tmp_path: Path) -> None:
    images = (files / "a.nii.gz", files / "b.nii.gz")
    assert segdistill("predict", "runs/teacher", *images, "-o", "old.nii.gz", "--overwrite").code == 0
    assert nibabel.load(tmp_path / "old.nii.gz").shape == (8, 9, 10)
