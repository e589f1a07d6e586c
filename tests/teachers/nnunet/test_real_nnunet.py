"""A model that nnU-Net itself plans and trains says the same here as with nnU-Net's own commands."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from scipy import ndimage

from segdistill.data.image import read_image, read_label
from segdistill.errors import SegdistillError
from segdistill.teachers.nnunet import NnunetFolder
from segdistill.teachers.nnunet.configuration import Configuration
from segdistill.teachers.nnunet.foreign import VARIABLE, ForeignSource
from segdistill.teachers.nnunet.labels import Labels
from segdistill.teachers.nnunet.results import read
from segdistill.teachers.source import Answer, Asking, CaseImage

ROOT = Path(__file__).parents[3]
DATASET = "Dataset997_Balls"
AGREEMENT = 0.99  # of nnU-Net's voxels: it adds windows in half precision, and lays them a little otherwise


@pytest.fixture(scope="module")
def python() -> Path:
    """The Python of nnU-Net's environment."""
    found = Path(os.environ.get(VARIABLE, ROOT / ".venv-nnunet" / "bin" / "python"))
    if not found.is_file():
        pytest.skip(f"needs nnU-Net: `make nnunet`, or {VARIABLE}")
    return found.absolute()


def write_case(folder: Path, name: str, seed: int) -> None:
    """A bright ball and a dark one in noise, with empty borders, on a turned grid of coarse slices."""
    rng = np.random.default_rng(seed)
    shape, spacing = (36 + seed % 3, 34, 14), (0.9, 1.1, 3.6)
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) * spacing
    image, label = rng.normal(100, 10, shape), np.zeros(shape, np.uint8)
    for value, brightness in ((1, 200), (2, 20)):
        centre = np.array(shape) * spacing * rng.uniform(0.35, 0.65, 3)
        ball = ((places - centre) ** 2).sum(-1) < rng.uniform(6, 9) ** 2
        image[ball], label[ball] = brightness + rng.normal(0, 10, ball.sum()), value
    image[:3], image[:, -2:] = 0, 0
    label[:3], label[:, -2:] = 0, 0
    angle = np.deg2rad(10)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * spacing, (-20, 30, -10)
    nibabel.save(
        nibabel.Nifti1Image(image.astype(np.float32), affine), folder / "imagesTr" / f"{name}_0000.nii.gz"
    )
    nibabel.save(nibabel.Nifti1Image(label, affine), folder / "labelsTr" / f"{name}.nii.gz")


@pytest.fixture(scope="module", params=["3d_fullres", "2d"])
def trained(
    python: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> dict[str, Any]:
    """The folder that nnU-Net left, the cases, and the masks that it predicted for them."""
    root, configuration = tmp_path_factory.mktemp("nnunet"), request.param
    raw = root / "raw" / DATASET
    for name in ("imagesTr", "labelsTr"):
        (raw / name).mkdir(parents=True)
    for k in range(5):
        write_case(raw, f"ball_{k}", k)
    described = (
        '{"channel_names": {"0": "MR"}, "labels": {"background": 0, "bright": 1, "dark": 2}, '
        '"numTraining": 5, "file_ending": ".nii.gz"}'
    )
    (raw / "dataset.json").write_text(described)
    folders = {f"nnUNet_{name}": str(root / name) for name in ("raw", "preprocessed", "results")}
    quiet = {"nnUNet_def_n_proc": "1", "nnUNet_compile": "f", "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    env = {**os.environ, **folders, **quiet, "OMP_WAIT_POLICY": "PASSIVE", "nnUNet_n_proc_DA": "1"}
    script = Path(__file__).with_name("train_nnunet.py")

    def run(*words: str | Path) -> None:
        done = subprocess.run(
            [str(word) for word in words], env=env, capture_output=True, text=True, timeout=1500, check=False
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]

    run(python, script, "997", DATASET, configuration)
    folder = root / "results" / DATASET / f"nnUNetTrainer__nnUNetPlans__{configuration}"
    said = ["-d", "997", "-c", configuration, "-f", "0", "--disable_tta", "-device", "cpu"]
    predict = python.parent / "nnUNetv2_predict"
    run(predict, "-i", raw / "imagesTr", "-o", root / "predicted", *said, "-npp", "1", "-nps", "1")
    return {"folder": folder, "images": raw / "imagesTr", "masks": root / "predicted"}


def cases(trained: dict[str, Any]) -> list[CaseImage]:
    found = []
    for file in sorted(trained["images"].iterdir()):
        image, geometry = read_image([file])
        found.append(CaseImage(file.name.removesuffix("_0000.nii.gz"), image, geometry))
    return found


def on_original(answer: Answer, shape: tuple[int, ...]) -> np.ndarray:
    """Classes on the file's grid: logits interpolated linearly, background outside of nnU-Net's crop."""
    logits = answer.maps["logits"].numpy()
    voxels = np.stack([*np.meshgrid(*map(np.arange, shape), indexing="ij"), np.ones(shape)])
    places = np.einsum("ij,j...->i...", np.linalg.inv(answer.to_original), voxels)[:3]
    each = [ndimage.map_coordinates(channel, places, order=1, mode="nearest") for channel in logits]
    size = np.array(logits.shape[1:]).reshape(3, 1, 1, 1)
    inside = ((places > -0.5) & (places < size - 0.5)).all(axis=0)
    return np.where(inside, np.argmax(each, axis=0), 0)


@pytest.mark.slow
def test_masks_are_those_of_nnunet(trained: dict[str, Any]) -> None:
    source = NnunetFolder().open(trained["folder"])
    assert source.classes == ("bright", "dark")
    assert source.score is not None
    for case in cases(trained):
        theirs, geometry = read_label(trained["masks"] / f"{case.id}.nii.gz")
        ours = on_original(source.answer(case, [], Asking()), case.geometry.shape)
        assert geometry.same_grid(case.geometry)
        assert (theirs > 0).sum() > 100
        wrong = (ours != theirs).sum()
        print(f"{case.id}: {wrong} of {theirs.size} voxels differ, {(theirs > 0).sum()} are foreground")
        assert wrong <= (1 - AGREEMENT) * theirs.size
        assert wrong <= 0.1 * (theirs > 0).sum()


@pytest.mark.slow
def test_nnunets_own_code_says_the_same(
    trained: dict[str, Any], python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(python))
    results = read(trained["folder"], None, "final", None)
    labels = Labels.of(results.dataset, "dataset.json")
    configuration = Configuration.of(results.plans, results.configuration, 1, "plans.json")
    foreign = ForeignSource(results, labels, configuration, "for the test", trust=True)
    own = NnunetFolder().open(trained["folder"])
    for case in cases(trained)[:2]:
        for mirror in (False, True):
            # Windows that lie side by side begin at the same voxels in both.
            theirs, ours = (source.answer(case, [], Asking(mirror=mirror)) for source in (foreign, own))
            np.testing.assert_allclose(theirs.to_original, ours.to_original)
            assert theirs.maps["logits"].shape == ours.maps["logits"].shape
            difference = (theirs.maps["logits"] - ours.maps["logits"]).abs()
            print(
                f"{case.id}, mirror {mirror}: logits differ by {difference.max():.2g}, mean {difference.mean():.2g}"
            )
            same = theirs.maps["logits"].argmax(0) == ours.maps["logits"].argmax(0)
            assert same.float().mean() > AGREEMENT


BUILT_THERE = """
import json, sys
from pathlib import Path
import numpy as np, torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

folder = Path(sys.argv[1])
plans = PlansManager(json.loads((folder / "plans.json").read_text()))
settings = plans.get_configuration("3d_fullres")
network = nnUNetTrainer.build_network_architecture(plans, settings, 1, 3, enable_deep_supervision=False).eval()
content = torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=False)
content["network_weights"] = network.state_dict()
torch.save(content, folder / "fold_0" / "checkpoint_final.pth")
with torch.no_grad():
    np.save(folder / "expected.npy", network(torch.from_numpy(np.load(folder / "image.npy")))[0].numpy())
"""


@pytest.mark.slow
def test_a_network_that_only_nnunet_has(
    python: Path,
    write: Callable[..., Path],
    tiny: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """nnU-Net's U-Net with dropout, which no network of ours has; for one window its answer is known."""
    monkeypatch.setenv(VARIABLE, str(python))
    architecture = tiny.configuration(3)["architecture"]
    architecture["arch_kwargs"]["dropout_op"] = "torch.nn.Dropout3d"
    architecture["arch_kwargs"]["dropout_op_kwargs"] = {"p": 0.5}
    folder = write(architecture=architecture, normalization_schemes=["NoNormalization"])
    case = tiny.case((8, 8, 8))
    np.save(folder / "image.npy", case.image.transpose(0, 3, 2, 1)[None])
    (tmp_path / "build.py").write_text(BUILT_THERE)
    subprocess.run([python, tmp_path / "build.py", folder], check=True, capture_output=True)
    with pytest.raises(SegdistillError, match=r"dropout_op torch.nn.Dropout3d .* is not supported.*--trust"):
        NnunetFolder().open(folder)
    answer = NnunetFolder().open(folder, trust=True).answer(case, [], Asking())
    expected = torch.from_numpy(np.load(folder / "expected.npy"))
    torch.testing.assert_close(answer.maps["logits"], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_a_network_that_nnunet_built(
    python: Path, write: Callable[..., Path], tiny: SimpleNamespace, tmp_path: Path, kind: str
) -> None:
    """Its weights fit the network here, and for one window both answer the same."""
    architecture = tiny.configuration(3)["architecture"]
    if kind == "residual":
        name = "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
        architecture["network_class_name"] = name
        kwargs = architecture["arch_kwargs"]
        kwargs["n_blocks_per_stage"] = kwargs.pop("n_conv_per_stage")
    folder = write(architecture=architecture, normalization_schemes=["NoNormalization"])
    case = tiny.case((8, 8, 8))
    np.save(folder / "image.npy", case.image.transpose(0, 3, 2, 1)[None])
    (tmp_path / "build.py").write_text(BUILT_THERE)
    subprocess.run([python, tmp_path / "build.py", folder], check=True, capture_output=True)
    answer = NnunetFolder().open(folder).answer(case, [], Asking())
    expected = torch.from_numpy(np.load(folder / "expected.npy"))
    torch.testing.assert_close(answer.maps["logits"], expected, atol=1e-4, rtol=1e-4)
