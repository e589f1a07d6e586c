"""Students and teachers that see different channels, know different classes, or learn from images without label."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

import segdistill
from segdistill.data.patches import UNLABELLED
from segdistill.distiller import Distiller
from segdistill.errors import SegdistillError
from segdistill.losses.segmentation import DiceCE
from segdistill.model import Facts, build_network
from segdistill.recipe import Recipe
from segdistill.run import Run
from segdistill.training.distill import distill
from segdistill.training.prepare import prepare
from segdistill.training.train import train

Settings = dict[str, Any]


def alone(tiny: Settings, out: Path, *layers: Settings) -> Run:
    return train(Recipe.load("student_alone", tiny, *layers), out)


def taught(tiny: Settings, teachers: dict[str, Any], **sections: Any) -> Recipe:
    plain: Settings = {"kind": "mixed", "terms": {"response": {"loss": "kl"}}, "teachers": teachers}
    return Recipe.load(plain, tiny, sections)


@pytest.fixture(scope="module")
def both(tiny: Settings, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A teacher that sees CT and PET."""
    return alone(tiny, tmp_path_factory.mktemp("runs") / "both")


@pytest.fixture(scope="module")
def pet(tiny: Settings, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A teacher that sees PET alone, and was written as a user would."""
    return alone(tiny, tmp_path_factory.mktemp("runs") / "pet", {"student": {"channels": ["PET_SUV"]}})


def test_student_without_pet_learns_from_teachers_with_it(
    tiny: Settings, both: Run, pet: Run, phantom: Path, tmp_path: Path
) -> None:
    teachers = {"both": {"run": str(both.path)}, "pet": {"run": str(pet.path)}}
    recipe = taught(tiny, teachers, student={"inputs": ["CT"]})
    run = distill(recipe, tmp_path / "run")
    assert run.info["architecture"]["facts"]["in_channels"] == 1
    assert run.recipe.student["channels"] == [4, 8], "its widths are not its image channels"
    assert [channel.name for channel in run.plan.channels] == ["CT"]
    assert run.info["teachers"].keys() == teachers.keys()

    case = run.splits.test[0]
    ct, with_pet = (phantom / "imagesTr" / f"{case}_000{n}.nii.gz" for n in (0, 1))
    segdistill.predict(run, [ct], tmp_path / "ct.nii.gz")
    segdistill.predict(run, [ct, with_pet], tmp_path / "all.nii.gz")
    answers = [np.asarray(nibabel.load(tmp_path / f"{name}.nii.gz").dataobj) for name in ("ct", "all")]
    assert (answers[0] == answers[1]).all(), "PET is not looked at"
    assert segdistill.evaluate(run)["summary"]


def test_prediction_does_not_need_the_dropped_file_even_to_be_there(
    tiny: Settings, phantom: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(phantom, data)
    run = alone(tiny, tmp_path / "run", {"data": {"path": str(data)}, "student": {"channels": ["CT"]}})
    for file in (data / "imagesTr").glob("*_0001.nii.gz"):
        file.write_bytes(b"no image")
    assert segdistill.evaluate(run)["summary"], "only CT is opened"
    case = run.splits.test[0]
    with pytest.raises(SegdistillError, match=r"3 channels where 1 are expected \(CT\), or all 2"):
        segdistill.predict(run, [data / "imagesTr" / f"{case}_0000.nii.gz"] * 3, tmp_path / "mask.nii.gz")


def test_channel_that_the_data_lack(tiny: Settings, both: Run, tmp_path: Path) -> None:
    with pytest.raises(SegdistillError, match=r"student\.inputs: no image channel 'MR'"):
        alone(tiny, tmp_path / "run", {"student": {"inputs": ["MR"]}})
    with pytest.raises(SegdistillError, match=r"student\.inputs: a channel stands there twice"):
        Recipe.load("student_alone", tiny, {"student": {"inputs": ["CT", "CT"]}})
    with pytest.raises(
        SegdistillError, match=r"student\.channels: \['CT', 8\] mixes names .* student\.inputs=\[CT\]"
    ):
        Recipe.load("student_alone", tiny, {"student": {"channels": ["CT", 8]}})
    with pytest.raises(SegdistillError, match=r"student\.inputs: expected names"):
        Recipe.load("student_alone", tiny, {"student": {"inputs": [1]}})


@pytest.fixture(scope="module")
def halves(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same images with two classes: the left and the right half of each tumour."""
    data = tmp_path_factory.mktemp("halves") / "data"
    shutil.copytree(phantom, data)
    for file in (data / "labelsTr").glob("*.nii.gz"):
        image = nibabel.load(file)
        label = np.asarray(image.dataobj).astype(np.uint8)
        half = np.argwhere(label)[:, 0].mean() if label.any() else 0
        label[int(half) + 1 :] *= 2
        nibabel.save(nibabel.Nifti1Image(label, image.affine), file)
    about = json.loads((data / "dataset.json").read_text())
    about["labels"] = {"background": 0, "left": 1, "right": 2}
    (data / "dataset.json").write_text(json.dumps(about))
    return data


def test_teachers_that_know_a_class_each(tiny: Settings, halves: Path, tmp_path: Path) -> None:
    data = {"data": {"path": str(halves)}}
    left, right, whole = (
        alone(tiny, tmp_path / name, data, {"data": {"labels": labels}})
        for name, labels in (("left", {"left": 1}), ("right", {"RIGHT": 2}), ("whole", {"tumour": [1, 2]}))
    )
    unsaid = {"left": {"run": str(left.path)}}
    with pytest.raises(
        SegdistillError,
        match=r"teachers\.left\.classes: .* knows left, the student learns left, right.*list of",
    ):
        distill(taught(tiny, unsaid, **data), tmp_path / "refused")
    wrong = {"left": {"run": str(left.path), "classes": ["liver"]}}
    with pytest.raises(SegdistillError, match=r"the student has no class 'liver' \(it has: left, right\)"):
        distill(taught(tiny, wrong, **data), tmp_path / "refused")
    teachers = {
        "left": {"run": str(left.path), "classes": ["left"]},
        "right": {"run": str(right.path), "classes": {"right": "RIGHT"}},
        "whole": {"run": str(whole.path), "classes": {"left": "tumour", "right": "tumour"}},
    }
    for combine in ("sum", "mean", "validation", "entropy", "confidence"):
        run = distill(taught(tiny, teachers, **data, combine=combine), tmp_path / combine)
        last = [event for event in run.events() if event["event"] == "epoch"][-1]
        assert last["loss"]["response"] > 0


def test_images_without_label(tiny: Settings, both: Run, phantom: Path, tmp_path: Path) -> None:
    average = {"average": {"average": {"momentum": 0.9}}}
    folder = tmp_path / "new"
    told = {
        r"data\.unlabelled\.path: .*new is not a folder": lambda: None,
        r"holds no image of a known format": folder.mkdir,
        r"NEW in .* has the channels 1; expected one file, or 2: CT, PET_SUV": lambda: put(1),
        r"has the name of case": lambda: (put(0), put(0, both.splits.train[0])),
    }

    def put(channel: int, name: str = "NEW") -> None:
        source = phantom / "imagesTr" / f"{both.splits.train[0]}_000{channel}.nii.gz"
        shutil.copy(source, folder / f"{name}_000{channel}.nii.gz")

    recipe = taught(tiny, average, data={"unlabelled": {"path": str(folder), "share": 0.9}, "sites": "^S1"})
    for message, make in told.items():
        make()
        with pytest.raises(SegdistillError, match=message):
            distill(recipe, tmp_path / "refused")
    (folder / f"{both.splits.train[0]}_0000.nii.gz").unlink()
    run = distill(recipe, tmp_path / "run")
    losses = [event["loss"] for event in run.events() if event["event"] == "epoch"]
    assert losses[-1]["response"] > 0, "distillation acts on every voxel"
    shares = [event["share"] for event in run.events() if event["event"] == "share"]
    assert all(share["segmentation"] > 0 for share in shares), "measured on images with a label"
    patches = prepare(recipe).patches()
    drawn = [patches[number] for number in range(20)]
    unlabelled = [int(sample["site"]) for sample in drawn if (sample["label"] == UNLABELLED).all()]
    assert len(unlabelled) > 10 and set(unlabelled) == {-1}, "of no site that is known"
    without = train(Recipe.load("student_alone", tiny), tmp_path / "alone")
    same = without.info["dataset"]["fingerprint"] == run.info["dataset"]["fingerprint"]
    assert same, "the labelled images are the same"


def test_training_cases_whose_labels_are_left_out_are_images_without_label(
    tiny: Settings, both: Run, tmp_path: Path
) -> None:
    average = {"average": {"average": {"momentum": 0.9}}}
    few = {"splits": {**tiny["data"].get("splits", {}), "labelled": 0.34}}
    data = prepare(taught(tiny, average, data={**few, "unlabelled": {"share": 0.5}}))
    whole = prepare(taught(tiny, average))
    assert sorted((*data.splits.train, *data.hidden)) == sorted(whole.splits.train) and data.hidden
    assert data.splits.test == whole.splits.test and data.splits.validation == whole.splits.validation
    patches = data.patches()
    drawn = [bool((patches[number]["label"] == UNLABELLED).all()) for number in range(30)]
    assert any(drawn) and not all(drawn)
    run = distill(taught(tiny, average, data={**few, "unlabelled": {"share": 0.5}}), tmp_path / "run")
    assert run.finished and set(run.splits.train) == set(data.splits.train)
    with pytest.raises(
        SegdistillError, match=r"data\.unlabelled: .* all labels of the training cases are used"
    ):
        prepare(taught(tiny, average, data={"unlabelled": {}}))


def test_supervision_is_the_mean_over_labelled_images(tiny: Settings) -> None:
    student = build_network({"type": "unet", "channels": [4, 8]}, Facts(2, 1, 2, (16, 16)), "student")
    distiller = Distiller(student, segmentation=DiceCE()).eval()
    image, label = torch.randn(3, 1, 16, 16), torch.randint(0, 2, (3, 1, 16, 16))
    alone = distiller(image[:2], label[:2])["segmentation"]
    label[2] = UNLABELLED
    assert distiller(image, label)["segmentation"].item() == pytest.approx(alone.item(), rel=1e-5)
    nothing = distiller(image, torch.full_like(label, UNLABELLED))["segmentation"]
    nothing.backward()
    assert nothing.item() == 0


def test_prior_of_other_classes_is_refused(tiny: Settings, halves: Path, tmp_path: Path) -> None:
    data = {"data": {"path": str(halves)}}
    left = alone(tiny, tmp_path / "left", data, {"data": {"labels": {"left": 1}}})
    teachers = {"left": {"run": str(left.path), "classes": ["left"]}}
    recipe = taught(tiny, teachers, **data, terms={"response": {"loss": "prior_corrected_kl"}})
    with pytest.raises(
        SegdistillError, match=r"terms\.response\.loss: prior_corrected_kl .* teachers\.left knows others"
    ):
        distill(recipe, tmp_path / "run")


def test_pet_is_dropped_on_real_patients(real_data: Path, tmp_path: Path) -> None:
    """The recipe `missing_modality`, by name: taught by PET, CT and MR, the student segments from CT and MR."""
    source, data = real_data / "Dataset101_SarcomaPETCTMR", tmp_path / "Dataset101_Sarcoma"
    cases = sorted(file.name.removesuffix(".nii.gz") for file in (source / "labelsTr").iterdir())[:6]
    for folder in ("imagesTr", "labelsTr"):
        (data / folder).mkdir(parents=True)
        for file in (source / folder).iterdir():
            if file.name.startswith(tuple(cases)):
                (data / folder / file.name).symlink_to(file)
    about = json.loads((source / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**about, "numTraining": len(cases)}))
    small = {"patch_size": [16, 16, 16], "batch_size": 2, "workers": 0, "splits": {"folds": 3}}
    recipe = Recipe.load(
        "missing_modality", data={"path": str(data), "store": str(tmp_path / "store"), **small},
        student={"channels": [2, 4, 4]}, train={"epochs": 1, "iterations": 1},
        teachers={"all": {"run": str(tmp_path / "all"), "network": {"type": "unet", "channels": [4, 4, 8]}}},
    )  # fmt: skip
    run = distill(recipe, tmp_path / "run")
    assert [channel.name for channel in run.plan.channels] == ["CT", "MR_T1"]
    assert len(Run.open(tmp_path / "all").plan.channels) == 3
    ct, _, mr = sorted((data / "imagesTr").glob(f"{run.splits.test[0]}_*"))
    mask = segdistill.predict(run, [ct, mr], tmp_path / "mask.nii.gz")
    assert nibabel.load(mask).shape == nibabel.load(ct).shape


@pytest.mark.parametrize(
    "network, expected",
    [
        ({"type": "unet", "channels": [4, 8]}, [16, 16, 16]),
        ({"type": "unet_plus_plus"}, [32, 16, 16]),  # two voxels at least at 1/16
        ({"type": "resnet18_student"}, [64, 32, 32]),
        ({"preset": "s2"}, [32, 16, 16]),
    ],
)
def test_patch_size_that_nobody_gave_fits_the_networks(
    tiny: Settings, network: Settings, expected: list[int]
) -> None:
    recipe = Recipe.load("student_alone", tiny, {"data": {"patch_size": None}, "student": network})
    assert prepare(recipe).recipe.data.patch_size == expected


def test_teachers_of_their_own_channels_are_trained_first(tiny: Settings, tmp_path: Path) -> None:
    """A teacher each for CT and PET, neither of which is there yet, and a student of CT."""
    teachers = {
        name: {
            "run": str(tmp_path / name),
            "network": {"type": "unet", "channels": [4, 8], "inputs": [channel]},
        }
        for name, channel in (("ct", "CT"), ("pet", "PET_SUV"))
    }
    recipe = taught(tiny, teachers, student={"inputs": ["CT"]}, combine="mean")
    run = distill(recipe, tmp_path / "run")
    for name, channel in (("ct", "CT"), ("pet", "PET_SUV"), ("run", "CT")):
        assert [each.name for each in Run.open(tmp_path / name).plan.channels] == [channel]
    assert [event["loss"]["response"] > 0 for event in run.events() if event["event"] == "epoch"]
