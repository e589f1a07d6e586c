"""The study docs/results/nnunet runs from the cases to comparison.json, here with few iterations on phantoms."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from segdistill.teachers.nnunet.foreign import VARIABLE

ROOT = Path(__file__).parents[3]
SPLITS = {"train": [0, 1, 2, 3, 4], "validation": [5, 6], "test": [7, 8, 9]}


@pytest.fixture(scope="module")
def python() -> Path:
    """The Python of nnU-Net's environment."""
    found = Path(os.environ.get(VARIABLE, ROOT / ".venv-nnunet" / "bin" / "python"))
    if not found.is_file():
        pytest.skip(f"needs nnU-Net: `make nnunet`, or {VARIABLE}")
    return found.absolute()


def write_cases(folder: Path) -> None:
    """Small images of a bright and a dark block in noise, as Task04_Hippocampus lies on the disk."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    names = [f"hippocampus_{k:03}" for ids in SPLITS.values() for k in ids]
    for k, name in enumerate(names):
        rng = np.random.default_rng(k)
        image, label = rng.normal(100, 10, (24, 28, 20)), np.zeros((24, 28, 20), np.uint8)
        for value, brightness, start in ((1, 200, 4), (2, 20, 12)):
            at = tuple(slice(start + shift, start + shift + 7) for shift in rng.integers(0, 2, 3))
            image[at], label[at] = brightness, value
        affine = np.diag([1.0, 1, 1, 1])
        affine[:3, 3] = -20, 30, k
        nibabel.save(
            nibabel.Nifti1Image(image.astype(np.float32), affine), folder / "imagesTr" / f"{name}.nii.gz"
        )
        nibabel.save(nibabel.Nifti1Image(label, affine), folder / "labelsTr" / f"{name}.nii.gz")
    pairs = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names]
    labels = {"0": "background", "1": "Anterior", "2": "Posterior"}
    described = {"name": "Hippocampus", "modality": {"0": "MRI"}, "labels": labels, "training": pairs}
    (folder / "dataset.json").write_text(json.dumps(described))


@pytest.mark.slow
def test_the_study_runs(python: Path, tmp_path: Path) -> None:
    write_cases(tmp_path / "data" / "Task04_Hippocampus")
    results, study = tmp_path / "results", tmp_path / "results" / "nnunet"
    shutil.copytree(ROOT / "docs" / "results" / "nnunet", study)
    shutil.copy(ROOT / "docs" / "results" / "keep.sh", results)
    splits = {name: [f"hippocampus_{k:03}" for k in ids] for name, ids in SPLITS.items()}
    (study / "splits.json").write_text(json.dumps(splits))
    environment = {
        **os.environ,
        "SEGDISTILL_DATA": str(tmp_path / "data"),
        "SEGDISTILL": f"{sys.executable} -m segdistill",
        "PYTHON": sys.executable,
        VARIABLE: str(python),
        "SEEDS": "0",
        "NNUNET_BUDGET": "1 2",
    }
    short = ["train.epochs=2", "train.iterations=4", "train.validate_every=1", "data.patch_size=[16,16,16]"]
    done = subprocess.run(
        [study / "run.sh", tmp_path / "out", *short, "student.strides=[1,2,2]", "student.features_per_stage=[4,8,16]"],
        env=environment, capture_output=True, text=True, timeout=1500, check=False,
    )  # fmt: skip
    log = tmp_path / "out" / "nnunet.log"
    assert done.returncode == 0, (done.stdout + done.stderr + (log.read_text() if log.is_file() else ""))[
        -3000:
    ]
    found = json.loads((study / "comparison.json").read_text())
    assert set(found["nnunet"]["cases"]) == set(found["distilled"]["cases"]) == set(splits["test"])
    for key in ("nnunet", "distilled", "alone"):
        assert set(found[key]["values"]) <= {0, 1, 2}
        assert found[key]["largest_difference_of_affine"] < 1e-4
        assert all(0 <= dice <= 1 for dice in found[key]["dice"].values())
    assert found["distilled"]["parameters"] < found["nnunet"]["parameters"] / 10
    assert found["distilled"]["seconds"]["loaded_wall_per_case"] > 0
    assert "nnU-Net" in done.stdout
    kept = [file for file in study.rglob("*") if file.suffix in {".json", ".jsonl", ".yaml", ".md", ".html"}]
    assert not [file for file in kept if str(tmp_path) in file.read_text(encoding="utf-8")]
