"""Folders of the Medical Segmentation Decathlon."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from segdistill.data import open_dataset
from segdistill.data.image import read_image
from segdistill.errors import SegdistillError


def make(root: Path, *, channels: int = 2, name: str = "case", **changes: Any) -> Path:
    for folder, shape in (("imagesTr", (3, 4, 5, channels)), ("labelsTr", (3, 4, 5))):
        (root / folder).mkdir(parents=True)
        for number in range(2):
            image = nibabel.Nifti1Image(np.zeros(shape, np.uint8), np.eye(4))
            nibabel.save(image, root / folder / f"{name}_{number}.nii.gz")
    content = {
        "name": "Brain",
        "modality": {"0": "FLAIR", "1": "T1w"},
        "labels": {"0": "background", "2": "core", "1": "edema"},
        "numTraining": 2,
        "numTest": 1,
        "training": [
            {"image": f"./imagesTr/{name}_{number}.nii.gz", "label": f"./labelsTr/{name}_{number}.nii.gz"}
            for number in range(2)
        ],
        "test": ["./imagesTs/other.nii.gz"],
    }
    (root / "dataset.json").write_text(json.dumps(content | changes), encoding="utf-8")
    return root


def test_reads_4d_images(tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path / "Task01"))
    assert dataset.layout == "decathlon" and dataset.channels == ("FLAIR", "T1w")
    assert dataset.labels == {"edema": 1, "core": 2} and dataset.classes == ("edema", "core")
    assert [case.id for case in dataset.cases] == ["case_0", "case_1"]
    assert read_image(dataset.cases[0].images)[0].shape == (2, 3, 4, 5)


def test_names_composed_in_another_way_are_found(tmp_path: Path) -> None:
    root = make(tmp_path / "set", name=unicodedata.normalize("NFC", "é"))
    for file in root.glob("*Tr/*"):
        file.rename(file.with_name(unicodedata.normalize("NFD", file.name)))
    assert len(open_dataset(root).cases) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": []}, "training: missing or empty"),
        ({"training": [{"image": "a.nii.gz"}]}, "training, entry 0: expected"),
        ({"numTraining": 3}, "says numTraining 3"),
        ({"modality": {}}, "modality: missing or empty"),
        (
            {"training": [{"image": "imagesTr/gone.nii.gz", "label": "labelsTr/case_0.nii.gz"}]},
            "gone.nii.gz is missing",
        ),
        (
            {"training": [{"image": "imagesTr/case_0.nii.gz", "label": "labelsTr/case_0.nii.gz"}] * 2},
            "two cases",
        ),
    ],
)
def test_what_dataset_json_gets_wrong_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(SegdistillError, match=message):
        open_dataset(make(tmp_path / "set", **change))


def test_real_hippocampus(real_data: Path) -> None:
    dataset = open_dataset(real_data / "Task04_Hippocampus")
    assert (
        dataset.layout == "decathlon"
        and len(dataset.cases) == 180
        and dataset.classes == ("Anterior", "Posterior")
    )
