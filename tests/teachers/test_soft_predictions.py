"""Soft predictions as teachers: each format comes back on the axes of the image, and what does not fit is refused."""

from __future__ import annotations

import itertools
import json
import pickle
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segdistill.data.geometry import Geometry
from segdistill.errors import SegdistillError
from segdistill.parts import build
from segdistill.teachers.soft_predictions import SoftPredictions
from segdistill.teachers.soft_predictions.opened import SoftFolder
from segdistill.teachers.source import Asking, CaseImage, Source

AFFINE = np.diag([2.0, 1.5, 3.0, 1.0])


def case(shape: tuple[int, ...], affine: np.ndarray = AFFINE, name: str = "a") -> CaseImage:
    affine = affine if len(shape) == 3 else np.eye(4)
    return CaseImage(name, np.zeros((1, *shape), np.float32), Geometry(shape, affine))


def probabilities(classes: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).dirichlet(np.ones(classes), shape)
    return np.moveaxis(values, -1, 0).astype(np.float32)


def said(folder: Path, image: CaseImage, **part: Any) -> torch.Tensor:
    answer = SoftPredictions(**part).open(folder).answer(image, [], Asking())
    space = len(image.geometry.shape)
    assert answer.strides == {"logits": (1,) * space}
    np.testing.assert_array_equal(answer.to_original, np.eye(space + 1))
    assert answer.maps["logits"].dtype == torch.float32
    return answer.maps["logits"]


def write_nifti(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE, five: bool = False) -> None:
    last = np.moveaxis(values, 0, -1)
    nibabel.save(nibabel.Nifti1Image(last[:, :, :, None] if five else last, affine), path)


FORMATS = ["probabilities", "softmax", "logits", "npy", "nii.gz", "nii", "five"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(*[st.integers(1, 4)] * 3),
    classes=st.integers(2, 4),
    form=st.sampled_from(FORMATS),
    axes=st.permutations(range(3)),
    flips=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    turned=st.booleans(),
)
def test_every_format_comes_back_on_the_axes_of_the_image(
    tmp_path: Path, shape: Any, classes: int, form: str, axes: Any, flips: Any, turned: bool
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.diag([2.0, 1.5, 3.0])[list(axes)] * flips
    expected = probabilities(classes, shape)
    folder = tmp_path / "_".join(map(str, (*shape, classes, form, *axes, *flips, turned)))
    folder.mkdir(exist_ok=True)
    if form in ("probabilities", "softmax"):
        image = nibabel.Nifti1Image(np.moveaxis(expected, 0, -1), affine)
        if turned:  # as nnU-Net's reader turns the image before it predicts
            image = image.as_reoriented(nibabel.io_orientation(affine))
            (folder / "plans.json").write_text('{"image_reader_writer": "NibabelIOWithReorient"}')
        stored = np.moveaxis(np.asarray(image.dataobj), -1, 0).transpose(0, 3, 2, 1)
        np.savez_compressed(folder / "a.npz", **{form: stored})
        write = np.zeros(shape, np.uint8)  # the hard labels that it writes beside
        nibabel.save(nibabel.Nifti1Image(write, affine), folder / "a.nii.gz")
    elif form == "logits":
        np.savez(folder / "a.npz", logits=np.log(expected))
    elif form == "npy":
        np.save(folder / "a.npy", expected)
    else:
        write_nifti(folder / f"a.{'nii' if form == 'five' else form}", expected, affine, five=form == "five")

    assert SoftPredictions.recognises(folder)
    found = said(folder, case(shape, affine)).softmax(0).numpy()
    np.testing.assert_allclose(found, expected, atol=5e-6)


@pytest.mark.parametrize("stored", ["K1yx", "Kyx", "npy"])
def test_photographs_keep_rows_and_columns(tmp_path: Path, stored: str) -> None:
    expected = probabilities(2, (3, 3))
    if stored == "npy":
        np.save(tmp_path / "a.npy", expected)
    else:
        np.savez(tmp_path / "a.npz", probabilities=expected[:, None] if stored == "K1yx" else expected)
    np.testing.assert_allclose(said(tmp_path, case((3, 3))).softmax(0), expected, atol=5e-6)


def test_a_flat_volume_turns_its_axes(tmp_path: Path) -> None:
    expected = probabilities(2, (3, 3))
    np.savez(tmp_path / "a.npz", probabilities=expected.transpose(0, 2, 1)[:, None])
    image = CaseImage("a", np.zeros((1, 3, 3), np.float32), Geometry((3, 3), AFFINE))
    np.testing.assert_allclose(said(tmp_path, image).softmax(0), expected, atol=5e-6)


def test_regions(tmp_path: Path) -> None:
    expected = np.random.default_rng(0).random((2, 2, 3, 4)).astype(np.float32)
    expected[:, 0] = [[[0]], [[1]]]
    np.savez(tmp_path / "a.npz", probabilities=expected.transpose(0, 3, 2, 1))
    found = said(tmp_path, case((2, 3, 4)), overlapping=True)
    assert torch.isfinite(found).all()
    np.testing.assert_allclose(torch.sigmoid(found), expected, atol=2e-6)
    with pytest.raises(SegdistillError, match=r"do not sum to 1.*`overlapping: true`"):
        said(tmp_path, case((2, 3, 4)))


def test_outside_of_the_crop_is_background(tmp_path: Path) -> None:
    stored = probabilities(3, (2, 2, 2)).astype(np.float16)
    stored[:, 0] = 0  # where nnU-Net did not look
    np.savez(tmp_path / "a.npz", probabilities=stored.transpose(0, 3, 2, 1))
    found = said(tmp_path, case((2, 2, 2))).softmax(0)
    np.testing.assert_allclose(found[:, 0, 0, 0], [1, 0, 0], atol=5e-6)
    np.testing.assert_allclose(found[:, 1], stored[:, 1], atol=2e-3)


def test_classes_from_the_settings_or_dataset_json(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", probabilities(3, (2, 2, 2)))
    source = SoftPredictions().open(tmp_path)
    assert isinstance(source, Source)
    assert (source.classes, source.regions, source.network, source.channels) == (None, False, None, None)
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "node": 2, "tumour": 1}}))
    assert SoftPredictions().open(tmp_path).classes == ("tumour", "node")
    assert SoftPredictions(classes=("x", "y")).open(tmp_path).classes == ("x", "y")
    with pytest.raises(SegdistillError, match=r"3 channels for 2 classes \(background, tumour\)"):
        said(tmp_path, case((2, 2, 2)), classes=("tumour",))
    told = {"labels": {"background": 0, "whole": [1, 2], "core": [2]}, "regions_class_order": [1, 2]}
    (tmp_path / "dataset.json").write_text(json.dumps(told))
    opened = SoftPredictions().open(tmp_path)
    assert (opened.classes, opened.regions) == (("whole", "core"), True)
    with pytest.raises(SegdistillError, match=r"3 channels for 2 regions \(whole, core\)"):
        opened.answer(case((2, 2, 2)), [], Asking())


def test_what_the_values_are(tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(size=(2, 2, 2, 2)).astype(np.float32)
    np.save(tmp_path / "a.npy", logits)
    np.testing.assert_array_equal(said(tmp_path, case((2, 2, 2))), logits)
    with pytest.raises(SegdistillError, match=r"should hold probabilities.*`values: logits`"):
        said(tmp_path, case((2, 2, 2)), values="probabilities")
    np.save(tmp_path / "a.npy", probabilities(2, (2, 2, 2)))
    np.testing.assert_array_equal(
        said(tmp_path, case((2, 2, 2)), values="logits"), probabilities(2, (2, 2, 2))
    )
    np.save(tmp_path / "a.npy", probabilities(2, (2, 2, 2)) * 255)
    with pytest.raises(SegdistillError, match="neither probabilities nor"):
        said(tmp_path, case((2, 2, 2)))
    np.savez(tmp_path / "a.npz", logits=logits)
    with pytest.raises(SegdistillError, match="says itself that it holds logits"):
        said(tmp_path, case((2, 2, 2)), values="probabilities")
    np.savez(tmp_path / "a.npz", logits=logits * np.nan)
    with pytest.raises(SegdistillError, match="NaN"):
        said(tmp_path, case((2, 2, 2)))


def test_other_shapes_and_grids_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", probabilities=probabilities(2, (2, 3, 4)))
    with pytest.raises(SegdistillError, match=r"of shape \(2, 4, 3, 2\), the case's image of \(2, 3, 4\)"):
        said(tmp_path, case((2, 3, 4)))
    (tmp_path / "a.npz").unlink()
    write_nifti(tmp_path / "a.nii.gz", probabilities(2, (2, 3, 4)), AFFINE + np.eye(4)[[3, 0, 1, 2]] * 5)
    with pytest.raises(SegdistillError, match=r"another grid.*2 x 3 x 4 voxels"):
        said(tmp_path, case((2, 3, 4)))
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 3, 4), np.uint8), AFFINE), tmp_path / "a.nii.gz")
    with pytest.raises(SegdistillError, match="labels and no soft predictions"):
        said(tmp_path, case((2, 3, 4)))
    assert not SoftPredictions.recognises(tmp_path)


def test_a_case_without_a_file_is_named(tmp_path: Path) -> None:
    for number in range(7):
        np.save(tmp_path / f"case{number}.npy", probabilities(2, (2, 2, 2)))
    with pytest.raises(SegdistillError, match=r"case 'b'; it has: case0, .*case4 and 2 more"):
        said(tmp_path, case((2, 2, 2), name="b"))
    with pytest.raises(SegdistillError, match="no stage 'encoder/4'; it has: logits"):
        SoftPredictions().open(tmp_path).answer(case((2, 2, 2), name="case0"), ["encoder/4"], Asking())


class Touch:
    """A pickle that would make a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", ["npz", "npy", "bare npz", "bare npy"])
def test_pickles_are_refused_and_never_read(tmp_path: Path, kind: str) -> None:
    ran, name = tmp_path / "ran", tmp_path / f"a.{kind[-3:]}"
    evil = np.array([Touch(ran)], dtype=object)
    if kind == "npz":
        np.savez(name, probabilities=evil)
    elif kind == "npy":
        np.save(name, evil)
    else:
        name.write_bytes(pickle.dumps(Touch(ran)))
    with pytest.raises(SegdistillError, match=r"a pickle.*was not read"):
        said(tmp_path, case((2, 2, 2)))
    assert not ran.exists()


@pytest.mark.parametrize("ending", ["npz", "npy", "nii.gz", "nii"])
def test_damaged_files(tmp_path: Path, ending: str) -> None:
    whole, path = probabilities(2, (8, 8, 8)), tmp_path / f"a.{ending}"
    if ending == "npz":
        np.savez_compressed(path, probabilities=whole)
    elif ending == "npy":
        np.save(path, whole)
    else:
        write_nifti(path, whole)
    content = path.read_bytes()
    for cut in (content[: len(content) // 2], content[:3], b""):
        path.write_bytes(cut)
        with pytest.raises(SegdistillError, match=rf"a\.{ending}"):
            said(tmp_path, case((8, 8, 8)))
    if ending == "npz":
        np.savez(path, other=whole)
        with pytest.raises(SegdistillError, match="holds other; expected `probabilities`"):
            said(tmp_path, case((8, 8, 8)))


def test_a_recipe_can_say_all_settings() -> None:
    spec = {"type": "soft", "classes": ["tumour"], "overlapping": True, "values": "logits"}
    assert build({"soft": SoftPredictions}, spec, "teachers.t.source") == SoftPredictions(
        ("tumour",), True, "logits"
    )
    with pytest.raises(SegdistillError, match=r"teachers\.t\.source\.values"):
        build({"soft": SoftPredictions}, {"type": "soft", "values": "labels"}, "teachers.t.source")


def test_identity_follows_contents_and_settings(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", probabilities(2, (2, 2, 2)))
    (tmp_path / "notes.txt").write_text("of no importance")

    def identity(**part: Any) -> str:
        opened = SoftPredictions(**part).open(tmp_path)
        assert isinstance(opened, SoftFolder)
        return opened.identity()

    first = identity()
    assert first == identity() and int(first, 16) > 0
    others = [identity(classes=("x",)), identity(overlapping=True), identity(values="logits")]
    np.save(tmp_path / "a.npy", probabilities(2, (2, 2, 2), seed=1))
    others.append(identity())
    np.save(tmp_path / "b.npy", probabilities(2, (2, 2, 2)))
    others.append(identity())
    assert all(a != b for a, b in itertools.combinations([first, *others], 2))


def test_what_is_a_folder_of_soft_predictions(tmp_path: Path) -> None:
    assert not SoftPredictions.recognises(tmp_path)
    with pytest.raises(
        SegdistillError, match=r"holds no soft predictions; expected one file a case, <case>.npz"
    ):
        SoftPredictions().open(tmp_path)
    with pytest.raises(SegdistillError, match="no such folder"):
        SoftPredictions().open(tmp_path / "none")
    np.save(tmp_path / "a.npy", probabilities(2, (2, 2, 2)))
    for name in ("plans.json", "dataset.json"):  # nnU-Net leaves both beside its predictions
        (tmp_path / name).write_text("{}")
    assert SoftPredictions.recognises(tmp_path)
    for name in ("fold_0", "configs"):  # a trained nnU-Net, a MONAI bundle
        (tmp_path / name).mkdir()
        assert not SoftPredictions.recognises(tmp_path)
        (tmp_path / name).rmdir()
    (tmp_path / "run.json").write_text("{}")
    assert not SoftPredictions.recognises(tmp_path)
