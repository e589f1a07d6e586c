"""`predict`: the mask lies exactly on the grid of the image, and follows what the image shows however it is stored."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
import torch

from segdistill import checkpoint
from segdistill.model import load_network
from segdistill.run import Run

Command = Callable[..., Any]
SHAPE = (14, 11, 9)
OBLIQUE = nibabel.affines.from_matvec(nibabel.eulerangles.euler2mat(0.3, -0.2, 0.1), (-20, 14, 7))


@pytest.fixture
def run(volumes: Callable[..., Path], train: Command, tmp_path: Path) -> Path:
    """A run whose network finds what is bright in the first channel, whatever the second one shows.

    It is a U-Net in which every convolution looks at its own voxel alone, and only the first channel gets through.
    """
    volumes(channels=("a", "b"), shape=(16, 16, 16))
    size = ("data.patch_size=[16,16,16]", "data.channels={a: zscore, b: zscore}")
    assert train(*size, "train.epochs=1", "--out", "runs/bright").code == 0
    run = Run.open(tmp_path / "runs" / "bright")
    network = load_network(run)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            norm = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(torch.ones_like(parameter) if norm else torch.zeros_like(parameter))
        for level in (network.encoder[0], network.decoder[-1]):
            for module in level.modules():
                if isinstance(module, torch.nn.Conv3d):
                    module.weight[0, 0, 1, 1, 1] = 1.0
        first = next(m for m in network.decoder[-1].modules() if isinstance(m, torch.nn.Conv3d))
        first.weight.zero_()
        first.weight[0, first.in_channels // 2, 1, 1, 1] = 1.0  # the skip comes after what comes up
        network.heads[0].weight[1, 0] = 1.0
        network.heads[0].bias[0] = 0.5
    checkpoint.save(run.file("checkpoints/best.safetensors"), network.state_dict(), {"epoch": 0})
    return run.path


def bright(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """A body of no symmetry at all."""
    body = np.zeros(shape, bool)
    body[2:9, 3:8, 1:4] = True
    body[2:4, 3:5, 4:7] = True
    body[8, 3, 4] = True
    return body


def image_of(body: np.ndarray) -> np.ndarray:
    """Two channels, the last axis: the body in noise, and noise alone."""
    rng = np.random.default_rng(0)
    return np.stack(
        [100 * body + rng.normal(0, 1, body.shape), rng.normal(0, 50, body.shape)], axis=-1
    ).astype(np.float32)


def predict(segdistill: Command, run: Path, *images: Path | str, out: str = "mask.nii.gz") -> np.ndarray:
    answer = segdistill("predict", run, *images, "--out", out, "--overwrite")
    assert answer.code == 0, answer
    return np.asarray(nibabel.load(out).dataobj)


AFFINES = {
    "plain": np.eye(4),
    "oblique": OBLIQUE,
    "mirrored and oblique": OBLIQUE @ np.diag([-1.0, 1, -1, 1]),
    "anisotropic": np.diag([1.0, 1, 3, 1]),
    "anisotropic, oblique, axes exchanged": (OBLIQUE @ np.diag([1.0, 1, 3, 1]))[:, [2, 0, 1, 3]],
}


@pytest.mark.parametrize(
    ("name", "sform", "qform"),
    [
        ("plain", 1, 1),
        ("plain", 0, 0),
        ("oblique", 2, 1),
        ("oblique", 4, 0),
        ("oblique", 0, 1),
        ("mirrored and oblique", 1, 3),
        ("anisotropic", 0, 2),
        ("anisotropic", 1, 0),
        ("anisotropic, oblique, axes exchanged", 1, 1),
    ],
)
def test_the_mask_lies_on_the_grid_of_a_4d_image(
    name: str, sform: int, qform: int, run: Path, segdistill: Command
) -> None:
    image = nibabel.Nifti1Image(image_of(bright()), AFFINES[name])
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_sform(AFFINES[name], code=sform)
    image.header.set_qform(AFFINES[name], code=qform)
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), None, image.header), "image.nii.gz")
    given = nibabel.load("image.nii.gz")
    assert given.shape == (*SHAPE, 2) and (given.header["sform_code"], given.header["qform_code"]) == (
        sform,
        qform,
    )

    mask = predict(segdistill, run, "image.nii.gz")
    written = nibabel.load("mask.nii.gz")
    assert written.shape == SHAPE
    assert np.array_equal(written.affine, given.affine)
    for field in (
        "sform_code",
        "qform_code",
        "srow_x",
        "srow_y",
        "srow_z",
        "quatern_b",
        "quatern_c",
        "quatern_d",
    ):
        assert np.array_equal(written.header[field], given.header[field]), field
    assert np.array_equal(written.header["pixdim"][:4], given.header["pixdim"][:4])
    assert written.header.get_xyzt_units()[0] == "mm" and written.get_data_dtype() == np.uint8
    overlap = 2 * (bright() & (mask == 1)).sum() / (bright().sum() + (mask == 1).sum())
    assert overlap > (0.85 if "anisotropic" in name else 0.99)


@pytest.mark.parametrize("stored", ["in 4-D", "in two files", "as MetaImage", "as NRRD"])
def test_a_turned_or_mirrored_copy_gives_the_same_mask_turned_or_mirrored(
    stored: str, run: Path, segdistill: Command
) -> None:
    """The same patient in another order of voxels: the affine says so, and the mask must follow."""
    body, channels = bright(), image_of(bright())
    for axes, flips in itertools.product([(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)], [(), (0,), (1, 2)]):
        turned, place = reordered(channels, axes, flips)
        mask = predict(segdistill, run, *write(turned, place, stored))
        assert np.array_equal(mask == 1, reordered(body[..., None], axes, flips)[0][..., 0]), (axes, flips)


def test_a_patient_who_lies_the_other_way_round_is_segmented_so(run: Path, segdistill: Command) -> None:
    """The voxels mirrored under the same affine: another patient, and the mask is mirrored with them."""
    for axis in range(3):
        mirrored = np.flip(bright(), axis)
        mask = predict(segdistill, run, *write(image_of(mirrored), OBLIQUE, "in 4-D"))
        assert np.array_equal(mask == 1, mirrored)


@pytest.mark.parametrize("ending", [".nii", ".mha", ".nrrd"])
def test_the_mask_is_at_the_same_place_in_every_format(ending: str, run: Path, segdistill: Command) -> None:
    from segdistill.data.image import read_geometry, read_label

    images = write(image_of(bright()), OBLIQUE, "in 4-D")
    assert segdistill("predict", run, *images, "--out", f"mask{ending}").code == 0
    assert np.array_equal(read_label(Path(f"mask{ending}"))[0] == 1, bright())
    assert read_geometry(Path(f"mask{ending}")).same_grid(read_geometry(images[0]), tolerance=1e-6)


def test_what_was_found_is_said(run: Path, segdistill: Command) -> None:
    answer = segdistill("predict", run, *write(image_of(bright()), np.eye(4), "in 4-D"), "-o", "mask.nii.gz")
    assert answer.err == f"mask.nii.gz: tumour {bright().sum()} voxels\n" and not answer.out


def reordered(
    array: np.ndarray, axes: tuple[int, ...], flips: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """The same voxels (*space, channel) stored in another order, and the affine that says where they are."""
    orientation = [[axes.index(axis), -1 if axes.index(axis) in flips else 1] for axis in range(3)]
    image = nibabel.Nifti1Image(array.astype(np.float32), OBLIQUE)
    turned = image.as_reoriented(np.array(orientation))
    return np.asarray(turned.dataobj), turned.affine


def write(channels: np.ndarray, affine: np.ndarray, stored: str) -> list[Path]:
    """Channels (x, y, z, channel) as files in one of the ways that people keep them."""
    if stored == "in 4-D":
        nibabel.save(nibabel.Nifti1Image(channels, affine), "image.nii.gz")
        return [Path("image.nii.gz")]
    if stored == "in two files":
        for number in range(2):
            nibabel.save(nibabel.Nifti1Image(channels[..., number], affine), f"image_{number}.nii")
        return [Path("image_0.nii"), Path("image_1.nii")]
    path = Path("image.mha" if stored == "as MetaImage" else "image.nrrd")
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(channels.transpose(2, 1, 0, 3)), isVector=True)
    world = np.diag([-1.0, -1, 1, 1]) @ affine
    image.SetOrigin(world[:3, 3].tolist())
    image.SetDirection(world[:3, :3].ravel().tolist())
    SimpleITK.WriteImage(image, str(path))
    return [path]
