"""What lies in a folder of nnU-Net v2 results: plans, dataset and a checkpoint for each fold."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from segdistill.errors import SegdistillError

PLANS, DATASET = "plans.json", "dataset.json"
FOLD = re.compile(r"fold_(\d+|all)")
NAME = re.compile(r".+?__.+?__(.+)")  # TRAINER__PLANS__CONFIGURATION
Fold = int | Literal["all"]


@dataclass(frozen=True)
class Results:
    """The files of a trained configuration that are used.

    Attributes:
        path: the folder with plans.json, dataset.json and the folds.
        plans: content of plans.json.
        dataset: content of dataset.json.
        configuration: such as "3d_fullres".
        folds: the folds that are asked, in their order.
        checkpoint: "final" or "best".
    """

    path: Path
    plans: Mapping[str, Any]
    dataset: Mapping[str, Any]
    configuration: str
    folds: tuple[Fold, ...]
    checkpoint: str

    @property
    def checkpoint_name(self) -> str:
        return f"checkpoint_{self.checkpoint}.pth"

    def folder(self, fold: Fold) -> Path:
        return self.path / f"fold_{fold}"

    def weights(self, fold: Fold) -> Path:
        return self.folder(fold) / self.checkpoint_name


def looks_trained(path: Path) -> bool:
    """Whether the names in a folder are those of a trained configuration."""
    return (path / PLANS).is_file() and (path / DATASET).is_file() and bool(_folds(path))


def looks_like_version_1(path: Path) -> bool:
    """Whether the names in a folder are those that nnU-Net v1 gave to a trained model."""
    return (path / "plans.pkl").is_file() and bool(_folds(path))


def trained_below(path: Path) -> list[Path]:
    """The trained configurations that a folder is or holds."""
    if looks_trained(path):
        return [path]
    below = sorted(path.iterdir()) if path.is_dir() else []
    return [folder for folder in below if NAME.fullmatch(folder.name) and looks_trained(folder)]


def read(
    path: Path, folds: Sequence[Fold] | None, checkpoint: Literal["final", "best"], configuration: str | None
) -> Results:
    """Find and read the files that were asked for.

    Args:
        folds: None: all numbered ones that are there, or the one of all cases where there is no other.
        configuration: None: what the folder's name says, or the only one of the plans.

    Raises:
        SegdistillError: something is missing or of another format; what was asked for and what is there is named.
    """
    found = trained_below(path)
    if len(found) > 1:
        names = ", ".join(folder.name for folder in found)
        raise SegdistillError(
            f"{path} holds several trained configurations ({names}); name the folder of one"
        )
    if not found:
        raise SegdistillError(_nothing(path))
    path = found[0]
    plans, dataset = _json(path / PLANS), _json(path / DATASET)
    if not isinstance(plans.get("configurations"), dict):
        raise SegdistillError(
            f"{path / PLANS} has no 'configurations': it is no plan of nnU-Net v2, the only format that is understood"
        )
    chosen = _chosen(path, _folds(path), folds)
    name = f"checkpoint_{checkpoint}.pth"
    for fold in chosen:
        if not (path / f"fold_{fold}" / name).is_file():
            there = sorted(file.name for file in (path / f"fold_{fold}").glob("*.pth"))
            raise SegdistillError(
                f"{path / f'fold_{fold}'} has no {name} (there: {', '.join(there) or 'no .pth file'}); finish its "
                "training, or say which are meant, such as {type: nnunet, folds: [0], checkpoint: best}"
            )
    return Results(path, plans, dataset, _configuration(path, plans, configuration), chosen, checkpoint)


def _nothing(path: Path) -> str:
    if not path.is_dir():
        return f"{path} is no folder; name one of nnU-Net's results, such as Dataset004/TRAINER__PLANS__3d_fullres"
    if any((path / file).exists() or (path.parent / file).exists() for file in ("plans.pkl", "plans_3D.pkl")):
        return f"{path} is from nnU-Net v1 (plans.pkl), which is not supported: train or convert it with nnU-Net v2"
    missing = [file for file in (PLANS, DATASET) if not (path / file).is_file()]
    missing += [] if _folds(path) else ["fold_0 or another fold"]
    return (
        f"{path} is no folder of nnU-Net v2 results: it has no {', no '.join(missing)}. Name the folder "
        "TRAINER__PLANS__CONFIGURATION below nnUNet_results/DATASET"
    )


def _folds(path: Path) -> list[Fold]:
    """The folds that have a folder, by number, 'all' last."""
    matches = [FOLD.fullmatch(folder.name) for folder in path.iterdir() if folder.is_dir()]
    names = [match[1] for match in matches if match]
    numbers: list[Fold] = sorted(int(name) for name in names if name != "all")
    return numbers + (["all"] if "all" in names else [])


def _chosen(path: Path, there: Sequence[Fold], asked: Sequence[Fold] | None) -> tuple[Fold, ...]:
    if asked is None:
        return tuple(fold for fold in there if fold != "all") or tuple(there)
    missing = [fold for fold in asked if fold not in there]
    if missing:
        raise SegdistillError(
            f"{path} has no fold {', '.join(map(str, missing))} (asked for: {', '.join(map(str, asked))}; there: "
            f"{', '.join(map(str, there))})"
        )
    return tuple(dict.fromkeys(asked))


def _configuration(path: Path, plans: Mapping[str, Any], asked: str | None) -> str:
    known = list(plans["configurations"])
    match = NAME.fullmatch(path.name)
    name = asked or (match[1] if match else known[0] if len(known) == 1 else None)
    if name is None or name not in known:
        told = f"the configuration {name!r}" if name else "its configuration (TRAINER__PLANS__CONFIGURATION)"
        where = f"{path / PLANS} has no such one" if name else "the folder's name does not tell it"
        raise SegdistillError(
            f"{path}: {told}: {where}; set configuration to one of: {', '.join(known) or 'none'}"
        )
    return name


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SegdistillError(f"{path} cannot be read as JSON ({error}); copy it again") from None
    if not isinstance(content, dict):
        raise SegdistillError(f"{path} holds no JSON object; copy it again")
    return content
