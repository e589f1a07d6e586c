"""What nnU-Net left about the training of some folds: the cases they have learnt from, and how well they did."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segdistill.teachers.nnunet.results import FOLD, Fold, Results

PREPROCESSED = "nnUNet_preprocessed"  # the variable, as nnU-Net spells it
SPLITS = "splits_final.json"
SUMMARY = Path("validation") / "summary.json"
Split = dict[str, list[str]]  # cases by "train" and "val"


def trained_on(results: Results) -> tuple[str, ...]:
    """The training cases of the folds that are asked, as far as they are known, sorted.

    From splits_final.json where it can be found: beside the folds, beside the folder, where the variable
    nnUNet_preprocessed says, or in a folder of that name beside nnUNet_results. Else from the validations of other
    folds, whose cases these have been trained on; `fold_all` has validated all that it was trained on. Nothing is told
    where a part of them would be missing: one that is not named would pass for a case that was never seen.
    """
    splits = _splits(results)
    validated = {fold: _validated(results, fold) for fold in _folds(results)}
    known: set[str] = set()
    for fold in results.folds:
        learnt = (
            _of_all(results, splits, validated)
            if fold == "all"
            else _of_one(results, fold, splits, validated)
        )
        if not learnt:
            return ()
        known |= learnt
    return tuple(sorted(known))


def _of_one(
    results: Results, fold: int, splits: list[Split], validated: Mapping[Fold, list[str]]
) -> set[str]:
    """What a numbered fold has learnt from; empty: it is not known as a whole."""
    if splits:
        # nnU-Net draws cases of its own for a fold that the file does not have.
        return set(splits[fold]["train"]) if fold < len(splits) else set()
    if not _are_all(results, _by_numbers(validated)):
        return set()
    return _by_numbers({other: cases for other, cases in validated.items() if other != fold})


def _of_all(results: Results, splits: list[Split], validated: Mapping[Fold, list[str]]) -> set[str]:
    """What `fold_all` has learnt from, which is every case; empty: they are not known as a whole."""
    if own := validated.get("all"):
        return set(own)
    split = {case for one in splits for case in (*one["train"], *one["val"])}
    everyone = split or _by_numbers(validated)
    return everyone if _are_all(results, everyone) else set()


def _by_numbers(validated: Mapping[Fold, list[str]]) -> set[str]:
    """The cases that numbered folds have validated."""
    return {case for fold, cases in validated.items() if fold != "all" for case in cases}


def _are_all(results: Results, cases: set[str]) -> bool:
    """Whether they are as many as the dataset has; where it does not tell, they may not be."""
    told = results.dataset.get("numTraining")
    return isinstance(told, int) and 0 < told <= len(cases)


def score(results: Results) -> float | None:
    """Mean Dice of the foreground in the folds' own validations, 0 to 1; None unless all of them have one.

    nnU-Net validates the final checkpoint; of the best one nothing is known.
    """
    if (
        results.checkpoint != "final" or "all" in results.folds
    ):  # "all" has validated on what it was trained on
        return None
    found = [_summary(results, fold).get("foreground_mean") for fold in results.folds]
    told = [entry.get("Dice") if isinstance(entry, dict) else None for entry in found]
    scores = [float(dice) for dice in told if isinstance(dice, int | float) and not math.isnan(dice)]
    return sum(scores) / len(scores) if len(scores) == len(results.folds) else None


def _splits(results: Results) -> list[Split]:
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
    lists = [split.get(key) if isinstance(split, dict) else None for key in ("train", "val")]
    return all(isinstance(cases, list) and all(isinstance(case, str) for case in cases) for cases in lists)


def _folds(results: Results) -> list[Fold]:
    names = [FOLD.fullmatch(folder.name) for folder in results.path.iterdir()]
    return ["all" if match[1] == "all" else int(match[1]) for match in names if match]


def _validated(results: Results, fold: Fold) -> list[str]:
    """The cases in a fold's summary, by the names of their predictions."""
    ending = str(results.dataset.get("file_ending", ".nii.gz"))
    entries = _summary(results, fold).get("metric_per_case")
    listed = entries if isinstance(entries, list) else []
    files = [entry.get("prediction_file") for entry in listed if isinstance(entry, dict)]
    return [Path(file).name.removesuffix(ending) for file in files if isinstance(file, str)]


def _summary(results: Results, fold: Fold) -> dict[str, Any]:
    """What a fold noted about its validation; empty where it noted none, or something else than nnU-Net writes."""
    content = _content(results.folder(fold) / SUMMARY)
    return content if isinstance(content, dict) else {}


def _content(path: Path) -> Any:
    """A JSON file's content; an empty dictionary where it is not there or no JSON: what it tells is not needed."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
