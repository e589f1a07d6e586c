"""Folders of images beside folders of masks."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from segdistill.data import open_dataset
from segdistill.data.mask_values import classes
from segdistill.errors import SegdistillError


def pair(
    images: Path, labels: Path, name: str, *, values: tuple[int, ...] = (0, 255), mode: str = "RGB",
    image: str = ".jpg", mask: str = ".png",
) -> None:  # fmt: skip
    images.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (9, 6), 7 if mode == "L" else (1, 2, 3)).save(images / f"{name}{image}")
    array = np.resize(np.array(values, np.uint8), (6, 9))
    Image.fromarray(array).save(labels / f"{name}{mask}")


@pytest.mark.parametrize("labels", ["labels", "masks"])
@pytest.mark.parametrize(("image", "mask"), [(".jpg", ".png"), (".png", ".tif"), (".tiff", ".png")])
def test_masks_of_0_and_255_are_one_class(tmp_path: Path, labels: str, image: str, mask: str) -> None:
    for name in ("ü 1", "b"):
        pair(tmp_path / "images", tmp_path / labels, name, image=image, mask=mask)
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "paired_folders" and dataset.channels == ("R", "G", "B")
    assert dataset.labels == {"foreground": 255} and dataset.spatial_dims == 2
    assert [(case.id, case.subset) for case in dataset.cases] == [("b", None), ("ü 1", None)]


def test_many_values_are_classes_and_gray_is_gray(tmp_path: Path) -> None:
    pair(tmp_path / "images", tmp_path / "labels", "a", values=(0, 1), mode="L")
    pair(tmp_path / "images", tmp_path / "labels", "b", values=(0, 3), mode="L")
    dataset = open_dataset(tmp_path)
    assert dataset.labels == {"class_1": 1, "class_3": 3} and dataset.channels == ("gray",)


@pytest.mark.parametrize("inside", [False, True])
def test_subfolders_are_subsets(tmp_path: Path, inside: bool) -> None:
    for folder in ("train", "val", "test"):
        images, labels = ("images", folder), ("labels", folder)
        if not inside:
            images, labels = images[::-1], labels[::-1]
        pair(tmp_path.joinpath(*images), tmp_path.joinpath(*labels), f"{folder}1")
    cases = open_dataset(tmp_path).cases
    assert {case.id: case.subset for case in cases} == {
        "train1": "train",
        "val1": "validation",
        "test1": "test",
    }


def test_same_names_in_two_subsets_get_their_subset(tmp_path: Path) -> None:
    for folder in ("train", "val"):
        pair(tmp_path / folder / "images", tmp_path / folder / "labels", "1")
    assert [case.id for case in open_dataset(tmp_path).cases] == ["train_1", "validation_1"]


def test_masks_may_add_to_the_name(tmp_path: Path) -> None:
    pair(tmp_path / "images", tmp_path / "masks", "ISIC_1")
    (tmp_path / "masks/ISIC_1.png").rename(tmp_path / "masks/ISIC_1_segmentation.png")
    assert open_dataset(tmp_path).cases[0].id == "ISIC_1"


def test_volumes_in_pairs(tmp_path: Path) -> None:
    for folder, shape in (("images", (4, 5, 6, 2)), ("labels", (4, 5, 6))):
        (tmp_path / folder).mkdir()
        image = nibabel.Nifti1Image(np.ones(shape, np.uint8), np.eye(4))
        nibabel.save(image, tmp_path / folder / "a.nii.gz")
    dataset = open_dataset(tmp_path)
    assert dataset.spatial_dims == 3 and dataset.channels == ("channel_0", "channel_1")


def test_dataset_json_may_name_the_classes(tmp_path: Path) -> None:
    pair(tmp_path / "images", tmp_path / "labels", "a", values=(0, 1, 255))
    with pytest.raises(SegdistillError, match="255 may be a class"):
        open_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text(
        json.dumps({"labels": {"background": 0, "wound": 1, "ignore": 255}})
    )
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "paired_folders" and dataset.labels == {"wound": 1} and dataset.ignore == 255


def test_missing_partners_are_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        pair(tmp_path / "images", tmp_path / "labels", name)
    (tmp_path / "labels/a.png").unlink()
    with pytest.raises(SegdistillError, match=r"a\.jpg has no mask"):
        open_dataset(tmp_path)
    pair(tmp_path / "images", tmp_path / "labels", "a")
    (tmp_path / "images/b.jpg").unlink()
    with pytest.raises(SegdistillError, match=r"b\.png has no image"):
        open_dataset(tmp_path)


def test_two_images_of_one_name_are_named(tmp_path: Path) -> None:
    pair(tmp_path / "images", tmp_path / "labels", "a")
    pair(tmp_path / "images", tmp_path / "labels", "a", image=".png")
    with pytest.raises(SegdistillError, match="are both images of a"):
        open_dataset(tmp_path)


def test_jpeg_masks_are_refused(tmp_path: Path) -> None:
    pair(tmp_path / "images", tmp_path / "labels", "a")
    disc = (np.hypot(*(np.mgrid[:64, :64] - 32)) < 20).astype(np.uint8) * 255
    (tmp_path / "labels/a.png").unlink()
    Image.fromarray(disc).save(tmp_path / "labels/a.jpg")
    with pytest.raises(SegdistillError, match="JPEG mask"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0], "all empty"),
        ([0, 3, 250, 255], "shades"),
        (range(100), "shades"),
        ([-1, 0, 1], "negative"),
        ([0, 1, 2, 255], "may be a class"),
    ],
)
def test_values_that_are_no_classes(values: list[int], message: str) -> None:
    with pytest.raises(SegdistillError, match=message):
        classes(values, Path("set"))


def test_masks_are_read_again_once_changed(tmp_path: Path) -> None:
    pair(tmp_path / "images", tmp_path / "labels", "a")
    assert open_dataset(tmp_path).labels == {"foreground": 255}
    pair(tmp_path / "images", tmp_path / "labels", "a", values=(0, 1))
    assert open_dataset(tmp_path).labels == {"foreground": 1}


def test_real_photographs(real_data: Path) -> None:
    ulcers = open_dataset(real_data / "FootUlcer")
    assert ulcers.labels == {"foreground": 255} and len(ulcers.cases) == 480
    assert {case.subset for case in ulcers.cases} == {"train", "validation"}
    vessels = open_dataset(real_data / "RetinaVessels")
    assert vessels.labels == {"foreground": 1} and len(vessels.cases) == 20
