"""Run folders as training leaves them, made up: small images, masks that are nearly right, and scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import yaml

CASES = tuple(f"case_{number:02d}" for number in range(16))
TEST = CASES[8:]
SHAPE = (24, 20, 10)
CLASSES = ("anterior", "posterior")
MACHINE = {
    "processor": "a processor",
    "cores": 2,
    "python": "3.11.9",
    "torch": "2.13.0",
    "segdistill": "0.1.0",
}


def write_dataset(root: Path, cases: tuple[str, ...] = CASES) -> Path:
    """An nnU-Net raw folder with two modalities and two classes: two touching ellipsoids on noise."""
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    about = {
        "channel_names": {"0": "CT", "1": "MR"},
        "labels": {"background": 0, "anterior": 1, "posterior": 2},
    }
    (root / "dataset.json").write_text(
        json.dumps(about | {"numTraining": len(cases), "file_ending": ".nii.gz"})
    )
    affine = np.diag([1.5, 1.5, 3.0, 1.0])
    for number, case in enumerate(cases):
        label = reference(number)
        rng = np.random.default_rng(number)
        for channel in range(2):
            image = (60 * (label > channel) + rng.normal(0, 15, SHAPE)).astype(np.float32)
            nibabel.save(
                nibabel.Nifti1Image(image, affine), root / "imagesTr" / f"{case}_{channel:04d}.nii.gz"
            )
        nibabel.save(nibabel.Nifti1Image(label, affine), root / "labelsTr" / f"{case}.nii.gz")
    return root


def reference(number: int) -> np.ndarray:
    """The label of the case of that number."""
    x, y, z = np.indices(SHAPE)
    radius = 5 + number % 4
    inside = ((x - 12) / radius) ** 2 + ((y - 10) / 5) ** 2 + ((z - 5) / 3) ** 2 < 1
    return np.where(inside, np.where(y < 10, 1, 2), 0).astype(np.uint8)


def dice(prediction: np.ndarray, label: np.ndarray, value: int) -> float | None:
    one, two = prediction == value, label == value
    total = int(one.sum() + two.sum())
    return 2 * int((one & two).sum()) / total if total else None


def row(case: str, name: str, score: float | None, voxels: int = 300) -> dict[str, Any]:
    """A row of metrics.json with a Dice of `score` and what goes with it."""
    known = score is not None
    return {
        "case": case,
        "class": name,
        "dice": score,
        "iou": score / (2 - score) if score is not None else None,
        "hd95": 20 * (1 - score) if score is not None else None,
        "assd": 4 * (1 - score) if score is not None else None,
        "nsd": min(1.0, score + 0.1) if score is not None else None,
        "rvd": 0.0 if known else None,
        "reference_voxels": voxels if known else 0,
        "prediction_voxels": voxels if known else 0,
    }


def metrics(
    scores: dict[str, dict[str, float | None]], ellipsoid: float = 0.5, split: str = "test"
) -> dict[str, Any]:
    """metrics.json from case -> class -> Dice."""
    rows = [row(case, name, value) for case, of in scores.items() for name, value in of.items()]
    trivial = {
        name: {"cases": [row(case, c, value) for case, of in scores.items() for c in of], "summary": {}}
        for name, value in (("all_background", 0.0), ("centred_ellipsoid", ellipsoid))
    }
    classes = list(next(iter(scores.values()))) if scores else list(CLASSES)
    about = {"format": 1, "split": split, "classes": classes, "tolerance_mm": 2.0}
    return about | {"cases": rows, "summary": {}, "baselines": trivial}


def cost(parameters: int, macs: int, latency: float) -> dict[str, Any]:
    return {
        "parameters": parameters,
        "macs": macs,
        "thop_parameters": parameters,
        "thop_macs": int(macs * 0.98),
        "input": [1, 2, 32, 32, 16],
        "latency_ms": {"p50": latency, "p95": latency * 1.2, "threads": 2, "device": "cpu"},
        "peak_memory_mb": 40 + parameters / 1e5,
    }


def write_run(
    path: Path,
    *,
    kind: str,
    network: str,
    scores: dict[str, dict[str, float | None]] | None,
    data: Path | str = "nowhere",
    seed: int = 0,
    method: str = "student_alone",
    teachers: dict[str, str] | None = None,
    terms: tuple[str, ...] = (),
    size: tuple[int, int, float] = (150_000, 2_000_000_000, 40.0),
    splits: dict[str, list[str]] | None = None,
    train: dict[str, Any] | None = None,
    epochs: int = 20,
    share: dict[str, float] | None = None,
    status: str = "finished",
    dataset: str = "Dataset900_Made",
    ellipsoid: float = 0.5,
    split: str = "test",
    fold: int = 0,
    tuned: bool = True,
    more: dict[str, Any] | None = None,
) -> Path:
    """A complete run folder; `more` goes into run.json."""
    path.mkdir(parents=True)
    recipe = {
        "name": method,
        "data": {"path": str(data), "patch_size": [32, 32, 16], "batch_size": 2, "splits": {"fold": fold}},
        "student": {"type": network, "width": size[0]},
        "teachers": {name: {"run": source} for name, source in (teachers or {}).items()},
        "segmentation": {"loss": {"type": "dice_focal"}, "weight": 1.0},
        "terms": {term: {"loss": {"type": "kl"}} for term in terms},
        "train": {"epochs": 20, "seed": seed, **(train or {})},
    }
    if tuned:
        recipe["tuned"] = {"trials": 20, "best": 0.8, "before": 0.7, "searched": ["train.optimizer.lr"]}
    (path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    about = {"format": 1, "name": path.name, "kind": kind, "recipe": method, "seed": seed, "status": status}
    about |= {
        "started": "2025-03-04T10:00:00+00:00",
        "seconds": 754.0,
        "machine": MACHINE,
        "network": network,
    }
    about |= {"command": f"segdistill train {method} train.seed={seed}", "teachers": teachers or {}}
    about |= {"dataset": {"name": dataset, "fingerprint": "0123abcd"}}
    (path / "run.json").write_text(json.dumps(about | (more or {})))
    default = {"train": list(CASES[:6]), "validation": list(CASES[6:8]), "test": list(TEST)}
    default |= {split: list(scores)} if scores else {}
    (path / "splits.json").write_text(json.dumps(splits or default))
    rng = np.random.default_rng(seed)
    lines: list[dict[str, Any]] = []
    for epoch in range(epochs):
        loss = {"segmentation": 0.2 + 0.8 * np.exp(-epoch / 6) + rng.normal(0, 0.01)}
        loss |= {term: (0.02 + 0.3 * np.exp(-epoch / 4)) / 10**number for number, term in enumerate(terms)}
        loss["total"] = sum(loss.values())
        best = 0.8 if kind != "alone" else 0.75
        validation = {
            "loss": loss["total"],
            "dice": best * (1 - np.exp(-(epoch + 1) / 2.5)) + rng.normal(0, 0.002),
        }
        lines.append({"event": "epoch", "epoch": epoch, "step": 6 * epoch, "lr": 1e-3, "loss": loss,
                      "validation": validation if epoch % 2 else None, "seconds": 30.0})  # fmt: skip
    if share:
        lines.append({"event": "share", "epoch": 0, "share": share})
    (path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"event": "epo')
    if scores is not None:
        (path / "metrics.json").write_text(json.dumps(metrics(scores, ellipsoid, split)))
    (path / "cost.json").write_text(json.dumps(cost(*size)))
    return path


def uniform(
    value: float, cases: tuple[str, ...] = TEST, wobble: float = 0.02, seed: int = 0
) -> dict[str, Any]:
    """Scores around `value`, different from case to case: case difficulty is the same for all models."""
    rng, noise = np.random.default_rng(11), np.random.default_rng(100 + seed)
    return {
        case: {
            name: float(np.clip(value + rng.normal(0, 0.04) + noise.normal(0, wobble), 0, 1))
            for name in CLASSES
        }
        for case in cases
    }


def write_predictions(run: Path, shift: int) -> None:
    """Masks for all test cases: the reference, moved by `shift` voxels."""
    (run / "predictions").mkdir()
    for case in TEST:
        mask = np.roll(reference(CASES.index(case)), shift, axis=0)
        nibabel.save(
            nibabel.Nifti1Image(mask, np.diag([1.5, 1.5, 3.0, 1.0])), run / "predictions" / f"{case}.nii.gz"
        )


@pytest.fixture
def make_run() -> Callable[..., Path]:
    return write_run


@pytest.fixture
def scores() -> Callable[..., dict[str, Any]]:
    return uniform


@pytest.fixture
def make_study() -> Callable[..., list[Path]]:
    return write_study


@pytest.fixture
def study(tmp_path: Path) -> list[Path]:
    """Two teachers, a student alone and a distilled one with three seeds each, with images and masks."""
    return write_study(tmp_path)


def write_study(root: Path, gain: float = 0.06, seeds: int = 3) -> list[Path]:
    data = write_dataset(root / "data")
    big = {"size": (11_380_000, 960_000_000_000, 900.0)}
    middle = {"size": (5_380_000, 280_000_000_000, 420.0)}
    runs = [
        write_run(
            root / "teacher_a", kind="alone", network="h_denseformer", scores=uniform(0.8), data=data, **big
        ),
        write_run(
            root / "teacher_b",
            kind="alone",
            network="swin_unetr",
            scores=uniform(0.78),
            data=data,
            **middle,
        ),
    ]
    teachers = {"a": str(runs[0]), "b": str(runs[1])}
    for seed in range(seeds):
        alone = {"kind": "alone", "scores": uniform(0.7, seed=seed)}
        distilled = {
            "kind": "distilled",
            "scores": uniform(0.7 + gain, seed=10 + seed),
            "method": "teach_former",
            "teachers": teachers,
            "terms": ("coarse", "fine", "pixel"),
            "share": {"segmentation": 0.7, "coarse": 0.005, "fine": 0.095, "pixel": 0.2},
        }
        for name, settings in (("alone", alone), ("distilled", distilled)):
            runs.append(
                write_run(root / f"{name}_seed{seed}", network="unet", seed=seed, data=data, **settings)
            )
    for run in runs:
        write_predictions(run, {"alone": 3, "distilled": 2}.get(run.name.partition("_")[0], 1))
    return runs
