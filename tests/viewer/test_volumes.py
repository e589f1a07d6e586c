"""What the browser gets of an image or a mask: the voxels and where they lie, and nothing about the patient."""

from __future__ import annotations

import gzip
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from segdistill.data.dataset import Dataset
from segdistill.data.geometry import Geometry
from segdistill.viewer.cases import gather
from segdistill.viewer.volumes import (
    MISSED,
    OTHER_CLASS,
    TOO_MUCH,
    channel_volume,
    colour_volume,
    difference,
    difference_volume,
    mask_volume,
    to_nifti,
)

TWO = Dataset("two", Path(), "nnunet_raw", ("CT",), {"liver": 1, "tumour": 2}, 255, False, (), 3)


def opened(content: bytes) -> Any:
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(content))


def voxels(content: bytes) -> np.ndarray:
    return np.asarray(opened(content).dataobj)


def saved(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


def test_differences_by_hand() -> None:
    reference = np.array([[0, 1, 1, 0, 2, 2, -1, -1]], np.int16)
    answer = np.array([[0, 1, 0, 1, 1, 0, 1, 0]], np.int16)
    told = [0, 0, MISSED, TOO_MUCH, OTHER_CLASS, MISSED, 0, 0]
    np.testing.assert_array_equal(difference(answer, reference), told)


def test_differences_of_overlapping_regions() -> None:
    reference = np.array([[1, 1, 1, 0], [1, 0, 1, -1]], np.int16)
    answer = np.array([[1, 0, 0, 0], [0, 1, 1, 1]], np.int16)
    told = [MISSED, OTHER_CLASS, MISSED, 0]
    np.testing.assert_array_equal(difference(answer, reference), told)


def test_no_word_of_a_header_comes_along(home: Any) -> None:
    """Descriptions, names and extensions are left behind; voxels and affine are kept."""
    patient = "DOE"
    image = home.path / "data" / "imagesTr" / "c0_0000.nii.gz"
    assert patient in gzip.decompress(image.read_bytes()).decode("latin-1"), "the test has something to hide"
    for case in gather(home.run).cases:
        for layer in case.layers:
            content = layer.read()
            assert patient not in gzip.decompress(content).decode("latin-1")
            found = opened(content)
            texts = ("descrip", "aux_file", "db_name", "intent_name")
            assert not any(bytes(found.header[name]).strip(b"\0") for name in texts)
            assert not found.header.extensions
            np.testing.assert_allclose(found.affine, np.diag([1.5, 1.5, 3, 1]))


def test_channels_are_the_images(home: Any) -> None:
    folder = home.path / "data" / "imagesTr"
    files = sorted(folder.glob("c0_*"))
    for number, name in enumerate(("CT", "PET")):
        stored = np.asarray(nibabel.load(files[number]).dataobj)
        np.testing.assert_array_equal(voxels(channel_volume(files, name, ("CT", "PET"))), stored)


@pytest.mark.parametrize(
    ("values", "kind"), [((-1024, 3000), np.int16), ((0, 70000), np.float32), ((0, 0.5), np.float32)]
)
def test_whole_numbers_are_stored_as_such(tmp_path: Path, values: tuple[float, float], kind: type) -> None:
    array = np.resize(np.array(values, np.float32), (4, 4, 4))
    content = channel_volume([saved(tmp_path / "a.nii.gz", array)], "CT", ("CT",))
    assert opened(content).get_data_dtype() == kind
    np.testing.assert_array_equal(voxels(content), array)


def test_an_oblique_affine_is_kept() -> None:
    turn = np.array([[0.8, -0.6, 0, 4], [0.6, 0.8, 0, 5], [0, 0, 2.5, 6], [0, 0, 0, 1]])
    found = opened(to_nifti(np.zeros((3, 4, 5), np.uint8), Geometry((3, 4, 5), turn)))
    np.testing.assert_allclose(found.affine, turn, atol=1e-6)
    np.testing.assert_allclose(found.header.get_zooms(), (1, 1, 2.5), atol=1e-6)


def test_masks_hold_numbers_of_classes(tmp_path: Path) -> None:
    """File values 10 and 20 become 1 and 2, what is ignored 3."""
    dataset = replace(TWO, labels={"liver": 10, "tumour": 20})
    label = np.array([0, 10, 20, 255], np.uint8).reshape(1, 2, 2)
    file = saved(tmp_path / "label.nii.gz", label)
    np.testing.assert_array_equal(voxels(mask_volume(file, dataset, dataset, file)).ravel(), [0, 1, 2, 3])


def test_a_teacher_with_other_classes_is_shown_by_their_names(tmp_path: Path) -> None:
    teacher = replace(TWO, labels={"spleen": 1, "tumour": 2, "liver": 3}, ignore=None)
    answer = saved(tmp_path / "answer.nii.gz", np.array([0, 1, 2, 3], np.uint8).reshape(1, 2, 2))
    label = saved(tmp_path / "label.nii.gz", np.array([0, 0, 2, 2], np.uint8).reshape(1, 2, 2))
    shown = voxels(mask_volume(answer, teacher, TWO, label))
    np.testing.assert_array_equal(shown.ravel(), [0, 0, 2, 1])
    told = voxels(difference_volume(answer, teacher, label, TWO, label))
    np.testing.assert_array_equal(told.ravel(), [0, 0, 0, OTHER_CLASS])


def test_regions_are_painted_in_their_order(tmp_path: Path) -> None:
    labels = {"whole": (1, 2), "core": 2}
    dataset = replace(TWO, labels=labels, regions=True, ignore=None, regions_class_order=(1, 2))
    file = saved(tmp_path / "label.nii.gz", np.array([0, 1, 2, 0], np.uint8).reshape(1, 2, 2))
    np.testing.assert_array_equal(voxels(mask_volume(file, dataset, dataset, file)).ravel(), [0, 1, 2, 0])


def test_photographs_stand_upright_in_their_colours(tmp_path: Path) -> None:
    """The top left pixel is where x is smallest and y largest."""
    picture = np.zeros((3, 5, 3), np.uint8)
    picture[0, 0] = (10, 20, 30)
    Image.fromarray(picture).save(tmp_path / "p.png")
    read = partial(colour_volume, [tmp_path / "p.png"], ("R", "G", "B"))
    pixels = voxels(read())
    assert pixels.shape == (5, 3, 1)
    assert tuple(pixels[0, 2, 0]) == (10, 20, 30)
    one = voxels(channel_volume([tmp_path / "p.png"], "G", ("R", "G", "B")))
    assert one.shape == (5, 3, 1) and one[0, 2, 0] == 20 and one.sum() == 20
