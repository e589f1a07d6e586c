"""What nnU-Net left about the training of some folds: the cases they have learnt from, and how well they did."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from segdistill.teachers.nnunet.results import FOLD, Fold, Results

PREPROCESSED = "nnUNet_preprocessed"  # the variable, as nnU-Net spells it
SPLITS = "splits_final.json"
SUMMARY = Path("validation") / "summary.json"


def trained_on(results: Results) -> tuple[str, ...]:
    """The training cases of the folds that are asked, as far as they are known, sorted.

    From splits_final.json where it can be found: beside the folds, beside the folder, where the variable
    nnUNet_preprocessed says, or in a folder of that name beside nnUNet_results. Else from the validations of other
    folds, whose cases these have been trained on.
    """
    splits = _splits(results)
    validated = {
        fold: _validated(results.path / f"fold_{fold}" / SUMMARY) for fold in _validated_folds(results)
    }
    known: set[str] = set()
    for fold in results.folds:
        if fold == "all":
            known |= {case for split in splits for case in (*split["train"], *split["val"])}
        elif fold < len(splits):
            known |= set(splits[fold]["train"])
        if not splits:
            known |= {case for other, cases in validated.items() if other != fold for case in cases}
    return tuple(sorted(known))


def score(results: Results) -> float | None:
    """Mean Dice of the foreground in the folds' own validations, 0 to 1; None unless all of them have one.

    nnU-Net validates the final checkpoint; of the best one nothing is known.
    """
    if (
        results.checkpoint != "final" or "all" in results.folds
    ):  # "all" has validated on what it was trained on
        return None
    found = [_content(results.folder(fold) / SUMMARY).get("foreground_mean") for fold in results.folds]
    told = [entry.get("Dice") if isinstance(entry, dict) else None for entry in found]
    scores = [float(dice) for dice in told if isinstance(dice, int | float) and not math.isnan(dice)]
    return sum(scores) / len(scores) if len(scores) == len(results.folds) else None


def _splits(results: Results) -> list[dict[str, list[str]]]:
    here = results.path.absolute()
    dataset = str(results.plans.get("dataset_name", here.parent.name))
    roots = [os.environ.get(PREPROCESSED), here.parent.parent.parent / PREPROCESSED]
    places = [here, here.parent, *(Path(root) / dataset for root in roots if root)]
    for place in places:
        content = _content(place / SPLITS)
        if isinstance(content, list) and content and all(_is_split(split) for split in content):
            return content
    return []


def _is_split(split: Any) -> bool:
    return isinstance(split, dict) and all(isinstance(split.get(key), list) for key in ("train", "val"))


def _validated_folds(results: Results) -> list[Fold]:
    names = [FOLD.fullmatch(folder.name) for folder in results.path.iterdir()]
    return [int(match[1]) for match in names if match and match[1] != "all"]


def _validated(summary: Path) -> list[str]:
    """The cases in a fold's summary, by the names of their predictions."""
    ending = str(_content(summary.parents[2] / "dataset.json").get("file_ending", ".nii.gz"))
    entries = _content(summary).get("metric_per_case")
    files = [entry.get("prediction_file") for entry in entries or [] if isinstance(entry, dict)]
    return [Path(file).name.removesuffix(ending) for file in files if isinstance(file, str)]


def _content(path: Path) -> Any:
    """A JSON file's content; an empty dictionary where it is not there or no JSON: what it tells is not needed."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
