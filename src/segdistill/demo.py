"""The whole job on synthetic patients: three teachers, a student alone, the same student taught, a report."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from rich.console import Console

from segdistill.data.phantom import make_phantom
from segdistill.errors import SegdistillError
from segdistill.finish import finish
from segdistill.recipe import Recipe
from segdistill.report import Report
from segdistill.run import IfExists, Run
from segdistill.training.distill import alone, distill

# Small enough for minutes on two cores, large enough that something is learned.
SETTINGS: dict[str, Any] = {
    "data": {"patch_size": [48, 48, 32], "batch_size": 2, "splits": {"test": 0.25, "folds": 6}},
    "student": {"type": "h_denseformer", "filters": 4, "depth": 4, "dropout": 0.1, "deep_supervision": False},
    "train": {
        "epochs": 10,
        "iterations": 15,
        "validate_every": 2,
        "early_stopping": None,
        "optimizer": {"lr": 2.0e-3},
    },
}
TEACHERS: dict[str, dict[str, Any]] = {
    "h_denseformer": {"type": "h_denseformer", "filters": 8, "depth": 4, "dropout": 0.1},
    "swin_unetr": {"type": "swin_unetr", "feature_size": 12, "window": 4, "unused_stage": False},
    "unetr": {"type": "unetr", "feature_size": 8, "hidden_size": 96, "mlp_size": 192, "heads": 4},
}
DATA = "Dataset900_Phantom"
PATIENTS, SIZE, DIFFICULTY = 24, (64, 64, 48), 0.25


def demonstrate(out: Path, if_exists: IfExists = "fail") -> Report:
    """Make data, train, distil and report under `out`.

    Returns:
        The report's page and verdict.

    Raises:
        SegdistillError: `out` exists and nothing was said about that.
    """
    if if_exists == "fail":
        Run(out).must_suit("fail")
    elif if_exists == "overwrite" and Run(out).exists:
        if not (out / DATA / "dataset.json").is_file():
            raise SegdistillError(
                f"{out} is not a demo's folder (no {DATA}/dataset.json), so it is left as it is; choose another --out"
            )
        shutil.rmtree(out)
    say = Console(stderr=True).print
    say("[bold]1/3[/bold] synthetic PET/CT/MR patients")
    if not (out / DATA / "dataset.json").is_file():
        make_phantom(out / DATA, patients=PATIENTS, size=SIZE, difficulty=DIFFICULTY)
    recipe = demo_recipe(out)
    say("[bold]2/3[/bold] the student alone")
    baseline = alone(recipe, out / "alone", if_exists="resume")
    say("[bold]3/3[/bold] three teachers, then the same student, taught by all of them (Teach-Former)")
    student = distill(recipe, out / "teach_former", if_exists="resume")
    return finish([student, baseline], out)


def demo_recipe(out: Path) -> Recipe:
    """The recipe `teach_former` at the demo's size, with its data and teachers under `out`."""
    here = {
        "data": {"path": str(out / DATA), "store": str(out / "preprocessed")},
        "teachers": {
            name: {"run": str(out / name), "network": network} for name, network in TEACHERS.items()
        },
    }
    return Recipe.load("teach_former", SETTINGS, here)
