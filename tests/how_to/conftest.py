"""A newcomer's folder for each page about teachers: small data and small trained models, by the names on the page."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib import util
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segdistill.data.phantom import make_phantom

TESTS = Path(__file__).parents[1]
FEW = ("data.workers=0", "train.epochs=1", "train.iterations=2")
"""What makes a training of the tests short, and is said after the words of a page."""
SARCOMA, HIPPOCAMPUS, SPLEEN = "Dataset101_Sarcoma", "Dataset004_Hippocampus", "Dataset009_Spleen"
NNUNET = "nnUNetTrainer__nnUNetPlans__3d_fullres"
Command = Callable[..., Any]


def module(path: str) -> ModuleType:
    """Another file of the tests, which makes what is needed here too."""
    name = "how_to_" + path.replace("/", "_").removesuffix(".py")
    if name not in sys.modules:
        spec = util.spec_from_file_location(name, TESTS / path)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


class Levels(nn.Module):
    """A network of four levels; ours check their sizes as whole numbers while tests run, free sizes are none."""

    def __init__(self, channels: int = 2, outputs: int = 2) -> None:
        super().__init__()
        widths = (channels, 4, 4, 4, 6)
        self.encoder = nn.ModuleList(
            nn.Conv3d(a, b, 3, stride=1 if k == 0 else 2, padding=1)
            for k, (a, b) in enumerate(pairwise(widths))
        )
        self.up = nn.ConvTranspose3d(6, 4, 8, stride=8)
        self.out = nn.Conv3d(8, outputs, 1)

    def forward(self, image: Tensor) -> Tensor:
        fine = self.encoder[0](image).relu()
        deep = fine
        for level in list(self.encoder)[1:]:
            deep = level(deep).relu()
        return self.out(torch.cat([fine, self.up(deep)], 1))


def write_dataset(folder: Path, channels: list[str], classes: list[str], modalities: tuple[str, ...]) -> None:
    """Synthetic patients of 16 x 16 x 16 voxels under other names; a second class is the upper half of the first."""
    make_phantom(folder, patients=8, size=(16, 16, 16), modalities=modalities, difficulty=0)
    about = json.loads((folder / "dataset.json").read_text())
    about["channel_names"] = {str(k): name for k, name in enumerate(channels)}
    about["labels"] = {"background": 0} | {name: k + 1 for k, name in enumerate(classes)}
    (folder / "dataset.json").write_text(json.dumps(about))
    for file in (folder / "labelsTr").iterdir() if len(classes) > 1 else ():
        label = nibabel.load(file)
        values = np.asarray(label.dataobj).astype(np.uint8)
        middle = int(np.median(np.nonzero(values)[2]))
        values[:, :, middle:] *= 2
        nibabel.save(nibabel.Nifti1Image(values, label.affine), file)


def write_nnunet(folder: Path, channels: list[str], classes: list[str], learnt: dict[int, list[str]]) -> None:
    """An nnU-Net of two folds on a grid of its own, with the file that tells what they have learnt from."""
    made, dims = module("teachers/nnunet/conftest.py"), 3
    plans = made.make_plans(dims, len(channels), spacing=[36.0, 24.0, 26.0])
    described = {
        "channel_names": {str(k): name for k, name in enumerate(channels)},
        "labels": {"background": 0} | {name: k + 1 for k, name in enumerate(classes)},
        "numTraining": 8,
        "file_ending": ".nii.gz",
    }
    for fold in learnt:
        (folder / f"fold_{fold}").mkdir(parents=True)
        for kind in ("final", "best"):
            network = made.make_network(dims, len(channels), len(classes) + 1, seed=fold)
            content = made.make_checkpoint(network, "3d_fullres")
            torch.save(content, folder / f"fold_{fold}" / f"checkpoint_{kind}.pth")
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(described))
    splits = [{"train": cases, "val": []} for cases in learnt.values()]
    (folder / "splits_final.json").write_text(json.dumps(splits))


def write_bundle(folder: Path) -> None:
    """MONAI's spleen bundle but for its size and its spacing."""
    made = module("teachers/test_monai_bundle.py")
    steps = [step | ({"pixdim": [30, 25, 24]} if "pixdim" in step else {}) for step in made.SPLEEN]
    folder.parent.mkdir()
    made.spleen(folder, transforms=steps)


def write_exported() -> None:
    """teacher.onnx, teacher.ts and teacher.pt2, of one network, for images of any size."""
    torch.manual_seed(0)
    network, image = Levels().eval(), torch.randn(2, 2, 16, 16, 16)
    free = dict.fromkeys((0, 2, 3, 4), torch.export.Dim.AUTO)
    axes = {0: "batch", 2: "x", 3: "y", 4: "z"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters warn of themselves
        torch.jit.trace(network, image).save("teacher.ts")
        program = torch.export.export(network, (image,), dynamic_shapes=(free,))
        torch.export.save(program, "teacher.pt2")
        torch.onnx.export(
            network, (image,), "teacher.onnx", dynamo=False, input_names=["image"], output_names=["logits"],
            dynamic_axes={"image": axes, "logits": axes},
        )  # fmt: skip


def write_predictions(folder: Path, cases: list[str]) -> None:
    """What nnU-Net leaves with --save_probabilities: an .npz and a hard mask for each case."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for case in cases:
        label = nibabel.load(Path(SARCOMA) / "labelsTr" / f"{case}.nii.gz")
        tumour = np.clip(np.asarray(label.dataobj) * 0.8 + rng.uniform(0, 0.2, label.shape), 0, 1)
        both = np.stack([1 - tumour, tumour]).astype(np.float16)
        np.savez_compressed(folder / f"{case}.npz", probabilities=both.transpose(0, 3, 2, 1))
        nibabel.save(
            nibabel.Nifti1Image((tumour > 0.5).astype(np.uint8), label.affine), folder / f"{case}.nii.gz"
        )


@pytest.fixture(scope="session")
def command() -> Command:
    """Run `segdistill WORDS` in this process."""
    return module("cli/conftest.py").command  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def shelf(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Everything that a page may begin with, made once; tests get copies."""
    home = tmp_path_factory.mktemp("shelf")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.delenv("SEGDISTILL_STORE", raising=False)
        write_dataset(Path(SARCOMA), ["CT", "PET"], ["tumour"], ("CT", "PET"))
        write_dataset(Path(HIPPOCAMPUS), ["MRI"], ["anterior", "posterior"], ("MR",))
        write_dataset(Path(SPLEEN), ["CT"], ["spleen"], ("CT",))
        trained = ("train", "student_alone", f"data.path={SARCOMA}", *FEW, "--no-report")
        for name, fold in [("teacher", 0), *((f"fold_{k}", k) for k in range(5))]:
            answer = command(*trained, f"data.splits.fold={fold}", "--out", f"runs/{name}")
            assert answer.code == 0, answer
        split = json.loads(Path("runs/teacher/splits.json").read_text())
        learnt = {0: split["train"], 1: split["validation"] + split["train"][1:]}
        results = Path("nnUNet_results")
        write_nnunet(results / HIPPOCAMPUS / NNUNET, ["MRI"], ["anterior", "posterior"], learnt)
        write_nnunet(results / SARCOMA / NNUNET, ["CT", "PET"], ["tumour"], learnt)
        write_bundle(Path("bundles/spleen_ct_segmentation"))
        write_exported()
        write_predictions(Path("predictions"), split["train"])
        yield home


@pytest.fixture
def desk(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """The current folder, with copies of what is named of the shelf."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEGDISTILL_STORE", raising=False)

    def lay(*names: str) -> Path:
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            if (shelf / name).is_dir():
                shutil.copytree(shelf / name, name)
            else:
                shutil.copy(shelf / name, name)
        return tmp_path

    return lay


@pytest.fixture
def levels() -> nn.Module:
    """A network with inner maps, which can be exported for images of any size."""
    torch.manual_seed(1)
    return Levels().eval()
