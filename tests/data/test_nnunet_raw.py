"""nnU-Net raw folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from segdistill.data import find_layout, open_dataset
from segdistill.data.image import read_image
from segdistill.errors import SegdistillError


def make(
    root: Path,
    *,
    cases: tuple[str, ...] = ("a", "b"),
    channels: int = 2,
    ending: str = ".nii.gz",
    **changes: Any,
) -> Path:
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    for case in cases:
        for channel in range(channels):
            save(root / f"imagesTr/{case}_{channel:04d}{ending}")
        save(root / f"labelsTr/{case}{ending}")
    content = {
        "channel_names": {str(channel): name for channel, name in enumerate(("CT", "PET", "MR")[:channels])},
        "labels": {"background": 0, "tumour": 1},
        "numTraining": len(cases),
        "file_ending": ending,
    }
    write(root, content | changes)
    return root


def save(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".png":
        Image.new("RGB" if "images" in path.parent.name else "L", (5, 4)).save(path)
    else:
        nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5), np.uint8), np.eye(4)), path)


def write(root: Path, content: Any) -> None:
    (root / "dataset.json").write_text(json.dumps(content), encoding="utf-8")


def test_reads_a_folder_with_spaces_and_other_letters(tmp_path: Path) -> None:
    root = make(tmp_path / "Dataset001 Größe", cases=("Müller 1", "b.c"))
    dataset = open_dataset(root)
    assert (dataset.layout, dataset.name) == ("nnunet_raw", "Dataset001 Größe")
    assert dataset.channels == ("CT", "PET") and dataset.labels == {"tumour": 1} and dataset.spatial_dims == 3
    assert [case.id for case in dataset.cases] == ["Müller 1", "b.c"]
    assert read_image(dataset.cases[0].images)[0].shape == (2, 3, 4, 5)
    assert open_dataset(root / "dataset.json") == dataset


@pytest.mark.parametrize("ending", [".nii", ".mha", ".nrrd"])
def test_endings(tmp_path: Path, ending: str) -> None:
    import SimpleITK

    root = make(tmp_path / "set", ending=".nii", channels=1)
    if ending != ".nii":
        for file in root.glob("*/*.nii"):
            image = SimpleITK.ReadImage(str(file))
            SimpleITK.WriteImage(image, str(file.with_suffix(ending)))
            file.unlink()
        content = json.loads((root / "dataset.json").read_text())
        write(root, content | {"file_ending": ending})
    dataset = open_dataset(root)
    assert len(dataset.cases) == 2 and dataset.cases[0].images[0].name == f"a_0000{ending}"


def test_colour_photograph_holds_all_channels(tmp_path: Path) -> None:
    names = {"0": "R", "1": "G", "2": "B"}
    dataset = open_dataset(make(tmp_path / "set", channels=1, ending=".png", channel_names=names))
    assert dataset.channels == ("R", "G", "B") and dataset.spatial_dims == 2
    assert len(dataset.cases[0].images) == 1


def test_test_images_with_labels_are_the_test_subset(tmp_path: Path) -> None:
    root = make(tmp_path / "set", channels=1)
    for name in ("imagesTs/c_0000", "imagesTs/d_0000", "labelsTs/c"):
        save(root / f"{name}.nii.gz")
    assert [(case.id, case.subset) for case in open_dataset(root).cases] == [
        ("a", None),
        ("b", None),
        ("c", "test"),
    ]


def test_dataset_key_names_the_files(tmp_path: Path) -> None:
    root = make(tmp_path / "set")
    content = json.loads((root / "dataset.json").read_text())
    entry = {"images": ["imagesTr/b_0001.nii.gz", "imagesTr/a_0000.nii.gz"], "label": "labelsTr/b.nii.gz"}
    write(root, content | {"dataset": {"x": entry}, "numTraining": 1})
    (case,) = open_dataset(root).cases
    assert case.id == "x" and [path.name for path in case.images] == ["b_0001.nii.gz", "a_0000.nii.gz"]
    write(root, content | {"dataset": {"x": entry | {"label": "labelsTr/gone.nii.gz"}}})
    with pytest.raises(SegdistillError, match=r"gone\.nii\.gz is missing"):
        open_dataset(root)


def test_ignore_and_regions(tmp_path: Path) -> None:
    labels = {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}
    root = make(tmp_path / "set", labels=labels, regions_class_order=[1, 2])
    dataset = open_dataset(root)
    assert dataset.regions and dataset.ignore == 3 and dataset.labels == {"whole": (1, 2), "core": (2,)}
    assert dataset.regions_class_order == (1, 2) and dataset.out_channels == 2
    content = json.loads((root / "dataset.json").read_text())
    del content["regions_class_order"]
    write(root, content)
    with pytest.raises(SegdistillError, match="regions_class_order"):
        open_dataset(root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"numTraining": 3}, "says numTraining 3, but 2"),
        ({"channel_names": {"0": "CT"}}, "a_0001.nii.gz is channel 1"),
        ({"channel_names": {"0": "CT", "1": "PET", "2": "MR"}}, "a_0002.nii.gz is missing"),
        ({"channel_names": {"1": "CT", "2": "PET"}}, "keys should be 0 to 1"),
        ({"channel_names": {}}, "channel_names: missing or empty"),
        ({"file_ending": ".dcm"}, "'.dcm' is not known"),
        ({"file_ending": ".nrrd"}, "the files end otherwise"),
        ({"labels": {"background": 0}}, "no class besides"),
        ({"labels": None}, "labels: missing or empty"),
        ({"labels": {"background": 0, "tumour": "one"}}, "labels, tumour: 'one'"),
        ({"labels": {"background": 0, "tumour": 1, "other": 1}}, "one value is given to two names"),
    ],
)
def test_what_dataset_json_gets_wrong_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    root = make(tmp_path / "set", **change)
    with pytest.raises(SegdistillError, match=message):
        open_dataset(root)


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("labelsTr/a.nii.gz", r"labelsTr.a\.nii\.gz is missing"),
        ("imagesTr/a_0001.nii.gz", r"a_0001\.nii\.gz is missing"),
        ("imagesTr/a_0000.nii.gz", r"a_0000\.nii\.gz is missing"),
        ("dataset.json", r"dataset\.json is missing"),
    ],
)
def test_missing_files_are_named(tmp_path: Path, gone: str, message: str) -> None:
    root = make(tmp_path / "set")
    (root / gone).unlink()
    with pytest.raises(SegdistillError, match=message):
        open_dataset(root)


def test_images_gone_and_label_left(tmp_path: Path) -> None:
    root = make(tmp_path / "set", channels=1)
    (root / "imagesTr/a_0000.nii.gz").unlink()
    with pytest.raises(SegdistillError, match=r"a_0000\.nii\.gz is missing, the image of"):
        open_dataset(root)


@pytest.mark.parametrize("content", ["{", "[1]", "\x00"])
def test_broken_json_is_named(tmp_path: Path, content: str) -> None:
    root = make(tmp_path / "set")
    (root / "dataset.json").write_text(content)
    with pytest.raises(SegdistillError, match=r"dataset\.json (is broken|should hold)"):
        open_dataset(root)


def test_layouts_are_named_where_none_fits(tmp_path: Path) -> None:
    with pytest.raises(SegdistillError, match=r"nnunet_raw .* decathlon .* paired_folders"):
        open_dataset(tmp_path)
    with pytest.raises(SegdistillError, match="there is no layout 'bids'"):
        open_dataset(tmp_path, "bids")
    with pytest.raises(SegdistillError, match="is not a folder"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(SegdistillError, match=r"images/ beside labels/"):
        open_dataset(make(tmp_path / "set"), "paired_folders")


def test_real_sarcoma(real_data: Path) -> None:
    dataset = open_dataset(real_data / "Dataset101_SarcomaPETCTMR")
    assert find_layout(dataset.path) == "nnunet_raw"
    assert dataset.channels == ("CT", "PET_SUV", "MR_T1") and len(dataset.cases) == 26
