"""Looking through a dataset: everything is found, and nothing stops it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from segdistill.data.check import Finding, check

LABELS = {"background": 0, "tumour": 1}


def save(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), path)


def describe(root: Path, **changes: object) -> None:
    content = {"channel_names": {"0": "CT", "1": "PET"}, "labels": LABELS, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(content | changes))


def make(root: Path, cases: str = "abc") -> Path:
    rng = np.random.default_rng(0)
    for case in cases:
        for channel in range(2):
            save(root / f"imagesTr/{case}_000{channel}.nii.gz", rng.normal(size=(6, 7, 8)).astype(np.float32))
        label = np.zeros((6, 7, 8), np.uint8)
        label[2:4, 2:4, 2:4] = 1
        save(root / f"labelsTr/{case}.nii.gz", label)
    describe(root)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "Dataset001 ä")


def of_case(findings: list[Finding], case: str | None) -> list[tuple[str, str]]:
    return [(finding.severity, finding.message) for finding in findings if finding.case == case]


def test_nothing_wrong_nothing_said(root: Path) -> None:
    assert check(root) == []
    assert check(root, "nnunet_raw") == []


def test_every_fault_of_several_cases_is_found(root: Path) -> None:
    make(root, "abcdefgh")
    array = np.zeros((6, 7, 8), np.float32)
    moved = np.diag([1, 1, 2, 1])
    (root / "imagesTr/a_0001.nii.gz").unlink()
    array[0, 0, 0] = np.nan
    save(root / "imagesTr/b_0000.nii.gz", array)
    save(root / "imagesTr/c_0001.nii.gz", np.random.default_rng(0).normal(size=(6, 7, 8)), moved)
    save(root / "labelsTr/d.nii.gz", np.ones((6, 7, 8), np.uint8), moved)
    save(root / "labelsTr/e.nii.gz", np.full((6, 7, 8), 4, np.uint8))
    save(root / "labelsTr/f.nii.gz", np.zeros((6, 7, 8), np.uint8))
    broken = root / "imagesTr/g_0000.nii.gz"
    broken.write_bytes(broken.read_bytes()[:100])
    save(root / "imagesTr/h_0000.nii.gz", np.ones((6, 7, 8), np.uint8))
    findings = check(root)
    expected = {
        "a": ("error", "a_0001.nii.gz is missing"),
        "b": ("error", "b_0000.nii.gz holds NaN"),
        "c": ("error", "c_0001.nii.gz is on another grid"),
        "d": ("error", "d.nii.gz is on another grid"),
        "e": ("error", "e.nii.gz: label values 4 are not declared"),
        "f": ("warning", "f.nii.gz is empty"),
        "g": ("error", "g_0000.nii.gz is truncated"),
        "h": ("warning", "h_0000.nii.gz has the same value"),
    }
    for case, (severity, message) in expected.items():
        ((found_severity, found),) = of_case(findings, case)
        assert severity == found_severity and message in found
    assert of_case(findings, None) == []


def test_identical_images(root: Path) -> None:
    for channel in range(2):
        source = root / f"imagesTr/a_000{channel}.nii.gz"
        shutil.copy(source, root / f"imagesTr/b_000{channel}.nii.gz")
        image = nibabel.load(source)  # other bytes, the same image
        image.header["descrip"] = b"another"
        (root / "imagesTs").mkdir(exist_ok=True)
        nibabel.save(image, root / f"imagesTs/t_000{channel}.nii.gz")
    (root / "labelsTs").mkdir()
    shutil.copy(root / "labelsTr/a.nii.gz", root / "labelsTs/t.nii.gz")
    findings = check(root)
    assert [(f.severity, f.case) for f in findings] == [("warning", "b"), ("error", "t")]
    assert "join them with data.splits.group" in findings[0].message
    assert "the same image as" in findings[0].message and "in training and test" in findings[1].message


def test_channels_that_do_not_fit_the_declaration(tmp_path: Path) -> None:
    save(tmp_path / "imagesTr/a.nii.gz", np.random.default_rng(0).normal(size=(6, 7, 8, 3)))
    save(tmp_path / "labelsTr/a.nii.gz", np.ones((6, 7, 8), np.uint8))
    content = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "a", "2": "b"}}
    content["training"] = [{"image": "imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz"}]
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    first, second = check(tmp_path)
    assert first.severity == "error" and "holds 3 channels; the dataset has 1 (MRI)" in first.message
    assert second.severity == "warning" and "no label holds b" in second.message


def test_a_folder_that_cannot_be_read_is_one_finding(tmp_path: Path) -> None:
    (finding,) = check(tmp_path)
    assert finding.severity == "error" and "none of the layouts" in finding.message


def test_ignored_everywhere(root: Path) -> None:
    describe(root, labels=LABELS | {"ignore": 2})
    save(root / "labelsTr/a.nii.gz", np.full((6, 7, 8), 2, np.uint8))
    ((severity, message),) = of_case(check(root), "a")
    assert severity == "warning" and "ignore everywhere" in message


def test_needs_no_torch() -> None:
    import subprocess

    code = "import sys, segdistill.data, segdistill.data.check; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_real_hippocampus(real_data: Path) -> None:
    assert check(real_data / "Task04_Hippocampus") == []


def test_rounded_labels_are_noted(root: Path) -> None:
    save(root / "labelsTr/a.nii.gz", np.full((6, 7, 8), 0.9999, np.float32))
    ((severity, message),) = of_case(check(root), "a")
    assert severity == "note" and "0.9999; rounded" in message


def test_bad_masks_do_not_hide_the_rest(tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for number, values in enumerate(([0, 1], [0, 255], [0, 0])):
        photograph = Image.new("RGB", (4, 4), (number, 2, 3))
        photograph.putpixel((0, 0), (9, 9, 9))
        turn = Image.Exif()
        turn[0x0112] = 6 if number == 0 else 1
        photograph.save(tmp_path / f"images/{number}.jpg", exif=turn)
        Image.fromarray(np.resize(np.array(values, np.uint8), (4, 4))).save(tmp_path / f"labels/{number}.png")
    Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4)).save(tmp_path / "labels/3.jpg")
    Image.new("RGB", (4, 4)).save(tmp_path / "images/3.png")
    found = [(finding.severity, finding.case) for finding in check(tmp_path)]
    assert found[:2] == [("error", "3"), ("error", None)]  # shades in a JPEG mask; 1 and 255 are both there
    assert ("warning", "0") in found and ("warning", "2") in found  # turned; empty
