"""When two runs are the same but for the seed, have the same network, or had the same budget."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from segdistill.report.run_folder import RunRecord

# What decides where and how fast a run is made, not what comes out of it.
CIRCUMSTANCE = {
    *("data.path", "data.store", "data.workers", "train.accelerator", "train.devices", "train.nodes"),
    *("train.accumulate", "train.share_every", "train.tensorboard", "train.mlflow"),
}

REPEATED = {"train.seed", "data.splits.fold"}
"""What repetitions of a run differ in."""


def identity(run: RunRecord, teachers: Mapping[str, Sequence[RunRecord]] | None = None) -> str:
    """A key that runs share exactly when they differ by nothing but seed and fold (their teachers' too).

    Folds prepare their images by their own training cases: they are the same data where all cases are the same
    (`prepared_alike` tells whether those of one fold are).

    Args:
        teachers: by name, those whose run folders were found; any other is known by where it lay.
    """
    recipe = {
        key: value for key, value in run.recipe.items() if key not in ("seed", "name", "teachers", "tuned")
    }
    settings = {k: v for k, v in _flat(recipe).items() if k not in CIRCUMSTANCE | REPEATED}
    given = run.recipe.get("teachers") or {}
    weights = {name: _settings(row) for name, row in given.items()} if isinstance(given, Mapping) else {}
    taught = sorted(
        key for name in run.teachers for key in _taught_by(run, name, (teachers or {}).get(name, ()))
    )
    test = sorted(run.splits.get("test", ()))
    everyone = sorted(case for cases in run.splits.values() for case in cases)
    return _canonical([run.kind, run.method, run.network, settings, weights, taught, everyone, test])


def prepared_alike(runs: Sequence[RunRecord]) -> bool:
    """Whether the runs of each fold saw the same images, prepared in the same way."""
    known: dict[int, str] = {}
    return all(known.setdefault(run.fold, run.fingerprint) == run.fingerprint for run in runs)


def network(run: RunRecord) -> str:
    """A key that runs share exactly when their networks are built alike."""
    return _canonical([run.network, run.recipe.get("student") or run.recipe.get("network") or {}])


def differences(student: RunRecord, alone: RunRecord) -> tuple[str, ...]:
    """Settings outside the distillation itself in which two runs differ: "train.epochs: 100 and 50"."""
    one, two = _comparable(student.recipe), _comparable(alone.recipe)
    keys = [key for key in sorted(one.keys() | two.keys()) if one.get(key) != two.get(key)]
    return tuple(f"{key}: {_told(one.get(key))} and {_told(two.get(key))}" for key in keys)


def _told(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def without_seed(name: str, seed: int | None = None) -> str:
    """A run's name without seed and fold: "hinton_fold1_seed3" is "hinton", and so is "hinton-s3" of seed 3.

    Args:
        seed: the run's. Without it, "s3" stays: it may as well be a network's preset.
    """
    seeds = r"seed[-_. ]*\d+" if seed is None else rf"seed[-_. ]*\d+|s[-_. ]*0*{seed}"
    return re.sub(rf"([-_. /]+fold[-_. ]*\d+)?([-_. /]+({seeds}))?$", "", name, flags=re.IGNORECASE) or name


def told_apart(name: str, twins: Sequence[str]) -> str:
    """What of a name differs from its twins: of taught_few and taught_many `few` and `many`; nothing if it is alone."""
    if len(twins) < 2:
        return ""
    parts = [twin.split("_") for twin in twins]
    shared = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*parts, strict=False)))
    own = "_".join(name.split("_")[shared:])
    return own if own and all(len(words) > shared for words in parts) else name


def _taught_by(run: RunRecord, name: str, found: Sequence[RunRecord]) -> list[str]:
    """Keys of who taught under a name. Each seed may have had a teacher of its own, which may be gone."""
    if found:
        return [identity(teacher) for teacher in found]
    given = run.recipe.get("teachers")
    section = given.get(name) if isinstance(given, Mapping) else None
    is_run = isinstance(section, Mapping) and bool(section.get("run"))
    return [without_seed(place) if is_run else place for place in run.places(name)]


def _comparable(recipe: Mapping[str, Any]) -> dict[str, Any]:
    # The weight of the segmentation loss belongs to the method (1 - alpha).
    # Images without label do too: a student alone has no use for them.
    left_out = CIRCUMSTANCE | REPEATED | {"segmentation.weight", "tuned"}
    parts = {key: recipe[key] for key in ("data", "train", "segmentation", "evaluate") if key in recipe}
    flat = _flat(parts).items()
    return {k: v for k, v in flat if k not in left_out and not k.startswith("data.unlabelled")}


def _flat(value: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            flat |= _flat(inner, f"{before}{key}.")
        else:
            flat[f"{before}{key}"] = inner
    return flat


def _settings(teacher: object) -> object:
    """What a recipe says of a teacher besides where it lies (its weight, say)."""
    if not isinstance(teacher, Mapping):
        return None
    return {key: value for key, value in teacher.items() if key not in ("run", "path")}


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)
