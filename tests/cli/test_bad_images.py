"""Images that cannot be used: told by `train` and by `data check`, with the file's name, before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from segdistill import checkpoint
from segdistill.run import Run
from segdistill.training import loop

Command = Callable[..., Any]
Refused = Callable[..., str]
Write = Callable[..., Path]
IMAGE, SECOND, LABEL = "imagesTr/c1_0000.nii.gz", "imagesTr/c1_0001.nii.gz", "labelsTr/c1.nii.gz"


def described(folder: Path, **changes: Any) -> None:
    file = folder / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def cut(path: Path, keep: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])


def rewritten(path: Path, array: np.ndarray | None = None, affine: np.ndarray | None = None) -> None:
    """Write another array, or another affine, in the place of the file's own."""
    image = nibabel.load(path)
    own, place = np.asarray(image.dataobj), image.affine
    nibabel.save(
        nibabel.Nifti1Image(own if array is None else array, place if affine is None else affine), path
    )


def picture(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.copy()


def voxels(path: Path) -> np.ndarray:
    return np.array(np.asarray(nibabel.load(path).dataobj))


def no_description(folder: Path) -> list[str]:
    (folder / "dataset.json").unlink()
    return ["dataset.json is missing", "write one in nnU-Net's or the Decathlon's format"]


def broken_description(folder: Path) -> list[str]:
    (folder / "dataset.json").write_text('{"channel_names": {')
    return ["dataset.json is broken", "line 1 column 20", "mend the JSON"]


def a_list_as_description(folder: Path) -> list[str]:
    (folder / "dataset.json").write_text("[1, 2]")
    return ["dataset.json should hold a JSON object", "list"]


def labels_without_values(folder: Path) -> list[str]:
    described(folder, labels={"background": 0, "tumour": "yes"})
    return ["dataset.json, labels, tumour: 'yes'", "whole number"]


def a_channel_too_many(folder: Path) -> list[str]:
    described(folder, channel_names={"0": "CT", "1": "PET", "2": "MR"})
    return ["c0_0002.nii.gz is missing", "3 channel(s) (CT, PET, MR)", "segdistill data check"]


def a_wrong_number_of_cases(folder: Path) -> list[str]:
    described(folder, numTraining=9)
    return ["dataset.json says numTraining 9", "6 training cases are there"]


def another_ending(folder: Path) -> list[str]:
    described(folder, file_ending=".mha")
    return ["dataset.json, file_ending", "'.mha'", "c0_0000.nii.gz"]


def a_missing_label(folder: Path) -> list[str]:
    (folder / LABEL).unlink()
    return ["labelsTr/c1.nii.gz is missing", "c1_0000.nii.gz"]


def a_missing_channel(folder: Path) -> list[str]:
    (folder / SECOND).unlink()
    return ["imagesTr/c1_0001.nii.gz is missing", "(CT, PET)"]


def a_label_without_image(folder: Path) -> list[str]:
    (folder / IMAGE).unlink()
    (folder / SECOND).unlink()
    return ["imagesTr/c1_0000.nii.gz is missing", "labelsTr/c1.nii.gz"]


def a_truncated_image(folder: Path) -> list[str]:
    cut(folder / SECOND, 0.8)
    return ["c1_0001.nii.gz is truncated or damaged", "copy or download it again"]


def a_truncated_label(folder: Path) -> list[str]:
    cut(folder / LABEL, 0.5)
    return ["labelsTr/c1.nii.gz is truncated or damaged", "copy or download it again"]


def an_empty_file(folder: Path) -> list[str]:
    cut(folder / IMAGE, 0)
    return ["c1_0000.nii.gz is no NIfTI file", "replace"]


def a_text_file(folder: Path) -> list[str]:
    (folder / IMAGE).write_text("404 not found")
    return ["c1_0000.nii.gz is no NIfTI file", "b'404 '"]


def an_undeclared_value(folder: Path) -> list[str]:
    rewritten(folder / LABEL, 7 * voxels(folder / LABEL))
    return ["labelsTr/c1.nii.gz: label values 7 are not declared", "0, 1 (tumour)", "dataset.json"]


def channels_of_other_voxels(folder: Path) -> list[str]:
    rewritten(folder / SECOND, affine=np.diag([2.0, 1, 1, 1]))
    return ["c1_0001.nii.gz is on another grid", "of 2 x 1 x 1 mm", "c1_0000.nii.gz"]


def channels_of_other_shape(folder: Path) -> list[str]:
    rewritten(folder / SECOND, voxels(folder / SECOND)[:-1])
    return ["c1_0001.nii.gz is on another grid", "7 x 8 x 8 voxels", "c1_0000.nii.gz"]


def a_label_of_other_shape(folder: Path) -> list[str]:
    rewritten(folder / LABEL, voxels(folder / LABEL)[:-1])
    return ["labelsTr/c1.nii.gz", "on another grid", "7 x 8 x 8 voxels", "c1_0000.nii.gz"]


def a_label_elsewhere(folder: Path) -> list[str]:
    rewritten(folder / LABEL, affine=np.array([[1.0, 0, 0, 40], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    return ["labelsTr/c1.nii.gz", "on another grid", "from (40, 0, 0)"]


def not_a_number(folder: Path) -> list[str]:
    image = voxels(folder / SECOND)
    image[1, 1, 1:3] = np.nan, np.inf
    rewritten(folder / SECOND, image)
    return ["c1_0001.nii.gz holds NaN or infinity in 2 of 512 voxels", "fill them"]


def two_places(folder: Path) -> list[str]:
    for path in folder.glob("*Tr/c1*"):
        image = nibabel.load(path)
        image.set_sform(np.eye(4), code="scanner")
        image.set_qform(nibabel.affines.from_matvec(np.eye(3), (10, 0, 0)), code="scanner")
        nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), None, image.header), path)
    return ["c1_0000.nii.gz: sform and qform disagree by 10 mm", "set_qform"]


def values_in_between(folder: Path) -> list[str]:
    rewritten(folder / LABEL, voxels(folder / LABEL) * np.float32(0.7))
    return ["labelsTr/c1.nii.gz", "36 values that are no whole numbers", "such as 0.7", "nearest neighbour"]


VOLUMES = (
    no_description, broken_description, a_list_as_description, labels_without_values, a_channel_too_many,
    a_wrong_number_of_cases, another_ending, a_missing_label, a_missing_channel, a_label_without_image,
    a_truncated_image, a_truncated_label, an_empty_file, a_text_file, an_undeclared_value,
    channels_of_other_voxels, channels_of_other_shape, a_label_of_other_shape, a_label_elsewhere, not_a_number,
    two_places, values_in_between,
)  # fmt: skip


def lossy_masks(folder: Path) -> list[str]:
    for path in (folder / "labels").iterdir():
        picture(path).save(path.with_suffix(".jpg"), quality=60)
        path.unlink()
    return ["labels/p0.jpg is a JPEG mask with", "values between 0 and 255", "PNG"]


def shades_as_masks(folder: Path) -> list[str]:
    for path in (folder / "labels").iterdir():
        picture(path).resize((12, 12), Image.Resampling.BICUBIC).resize((16, 16)).save(path)
    return ["the masks of", "shades as JPEG or smoothing leaves them", "threshold them at 128"]


def a_coloured_mask(folder: Path) -> list[str]:
    Image.new("RGB", (16, 16), (255, 0, 0)).save(folder / "labels" / "p1.png")
    return ["labels/p1.png is a mask in colours", "gray or palette PNG"]


def a_mask_of_other_size(folder: Path) -> list[str]:
    Image.new("L", (16, 15), 255).save(folder / "labels" / "p1.png")
    return ["labels/p1.png", "on another grid", "15 x 16 voxels", "p1.png"]


def an_image_without_mask(folder: Path) -> list[str]:
    (folder / "labels" / "p1.png").unlink()
    return ["images/p1.png has no mask of that name in", "labels"]


def a_gray_image_among_coloured(folder: Path) -> list[str]:
    picture(folder / "images" / "p1.png").convert("L").save(folder / "images" / "p1.png")
    return ["images/p1.png", "1 channels", "3", "R, G, B"]


def a_truncated_photograph(folder: Path) -> list[str]:
    cut(folder / "images" / "p1.png", 0.5)
    return ["images/p1.png is truncated or damaged", "copy or download it again"]


def nothing_to_learn(folder: Path) -> list[str]:
    for path in (folder / "labels").iterdir():
        Image.new("L", (16, 16)).save(path)
    return ["the masks of", "all empty", "nothing to learn"]


def two_images_of_a_name(folder: Path) -> list[str]:
    picture(folder / "images" / "p1.png").save(folder / "images" / "p1.bmp")
    return ["images/p1.png", "images/p1.bmp", "both images of p1", "keep one"]


PHOTOGRAPHS = (
    lossy_masks, shades_as_masks, a_coloured_mask, a_mask_of_other_size, an_image_without_mask,
    a_gray_image_among_coloured, a_truncated_photograph, nothing_to_learn, two_images_of_a_name,
)  # fmt: skip


def both_refuse(told: list[str], segdistill: Command, refused_training: Refused, *words: str) -> None:
    refused_training(*words, told=told)
    checked = segdistill("data", "check", "data")
    assert checked.code == 2
    errors = [line for line in checked.out.splitlines() if line.startswith("error")]
    assert any(told[0].split(" ")[0] in line for line in errors), checked.out
    as_json = json.loads(segdistill("data", "check", "data", "--json").out)
    assert {"severity", "case", "file", "message"} == set(as_json[0])


@pytest.mark.parametrize("break_it", VOLUMES, ids=lambda function: function.__name__)
def test_volumes(
    break_it: Callable[[Path], list[str]], volumes: Write, segdistill: Command, refused_training: Refused
) -> None:
    both_refuse(break_it(volumes()), segdistill, refused_training)


@pytest.mark.parametrize("break_it", PHOTOGRAPHS, ids=lambda function: function.__name__)
def test_photographs(
    break_it: Callable[[Path], list[str]], photographs: Write, segdistill: Command, refused_training: Refused
) -> None:
    both_refuse(break_it(photographs()), segdistill, refused_training, "data.patch_size=[8,8]")


def test_a_folder_of_nothing(tmp_path: Path, segdistill: Command, refused_training: Refused) -> None:
    (tmp_path / "data").mkdir()
    both_refuse(["data has none of the layouts known", "nnunet_raw", "images/"], segdistill, refused_training)


def test_too_few_patients(volumes: Write, refused_training: Refused) -> None:
    volumes(names=["c0", "c1"])
    refused_training(told=["data.splits.folds: 3 folds need as many patients, but 1", "fewer folds"])


def test_labels_without_foreground(volumes: Write, refused_training: Refused, segdistill: Command) -> None:
    folder = volumes()
    for path in (folder / "labelsTr").iterdir():
        rewritten(path, 0 * voxels(path))
    refused_training(told=["data.channels.CT: no voxel to measure", "are their labels empty?"])
    assert "no label holds tumour" in segdistill("data", "check", "data").out


def test_the_same_image_in_training_and_test(photographs: Write, segdistill: Command, tmp_path: Path) -> None:
    folder = photographs()
    for subset, kept in (("train", (0, 1, 2)), ("test", (2, 4, 5))):
        for kind in ("images", "labels"):
            (folder / subset / kind).mkdir(parents=True)
            for number in kept:
                (folder / subset / kind / f"p{number}.png").write_bytes(
                    (folder / kind / f"p{number}.png").read_bytes()
                )
    for kind in ("images", "labels"):
        for path in (folder / kind).iterdir():
            path.unlink()
        (folder / kind).rmdir()
    checked = segdistill("data", "check", "data")
    assert checked.code == 2 and "is the same image as" in checked.out and "in train and test" in checked.out


def test_a_loss_that_turns_nan(volumes: Write, train: Command) -> None:
    volumes()
    wild = ("train.optimizer={type: sgd, lr: 1.0e+10}", "train.gradient_clip=null", "train.epochs=9")
    answer = train(*wild, "--out", "runs/new")
    assert answer.code == 2 and "error: the loss is no longer a number in epoch" in answer.err
    assert "train.optimizer.lr" in answer.err and "data check" in answer.err
    epochs = kept_epochs("runs/new")
    assert epochs[0]["validation"]["loss"] is not None and epochs[-1]["validation"]["loss"] is None
    assert checkpoint.load(Path("runs/new/checkpoints/best.safetensors"))[1]["epoch"] == 0  # the good one


def test_weights_that_turn_nan_do_not_replace_good_ones(
    volumes: Write, train: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gradient may overflow where the loss does not: the next loss would tell, too late for the checkpoint."""
    volumes()
    step = loop.one_step

    def overflows(fabric: Any, model: Any, optimizers: Any, stream: Any, number: int, *rest: Any) -> Any:
        losses = step(fabric, model, optimizers, stream, number, *rest)
        if number == 2:
            optimizers["student"].param_groups[0]["params"][0].data.fill_(float("nan"))
        return losses

    with monkeypatch.context() as patch:
        patch.setattr(loop, "one_step", overflows)
        answer = train("train.epochs=4", "--out", "runs/new")
    assert answer.code == 2 and "error: the weights are no longer numbers after epoch 3" in answer.err
    assert len(kept_epochs("runs/new")) == 2
    assert train("train.epochs=4", "--out", "runs/new", "--resume").code == 0


def kept_epochs(out: str) -> list[dict[str, Any]]:
    """The epochs in the log of a run that broke off, of which the last checkpoint holds the last."""
    run = Run(Path(out))
    assert not run.finished
    epochs = [event for event in run.events() if event["event"] == "epoch"]
    tensors, described = checkpoint.load(run.file("checkpoints/last.safetensors"))
    assert described["training"]["epoch"] == len(epochs) >= 1
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    return epochs
