"""A teacher from a segdistill run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segdistill.data.intensity import Masked
from segdistill.data.plan import Plan
from segdistill.errors import SegdistillError
from segdistill.model import Facts, facts_of, load_network
from segdistill.run import Run
from segdistill.teachers.intensity_map import IntensityMap
from segdistill.teachers.label_map import LabelMap
from segdistill.teachers.teacher import Teacher


def load(
    path: str | Path,
    plan: Plan,
    facts: Facts,
    *,
    name: str,
    weight: float = 1.0,
    classes: Sequence[str] | Mapping[str, str | Sequence[str]] | None = None,
) -> Teacher:
    """The network of a finished run, as a teacher for data prepared by `plan`.

    Its image channels are found by name among those of the data, and its classes by name among the student's. Where its
    training cases had other statistics, the intensities that it sees are brought to those.

    Args:
        classes: what to learn from it where its classes differ (`LabelMap.by_name`).

    Raises:
        SegdistillError: no run there, one that is not finished, whose channels or classes the data lack, of another
            preprocessing, or one whose network is made for another patch size.
    """
    place = f"teachers.{name}.run"
    try:
        run = Run.open(path)
    except SegdistillError as error:
        raise SegdistillError(f"{place}: {error}") from None
    theirs = run.plan
    if theirs.spatial_dims != plan.spatial_dims:
        raise SegdistillError(
            f"{place}: {run.path} was trained on {theirs.spatial_dims}-D images, these are {plan.spatial_dims}-D"
        )
    inputs = plan.numbers_of(
        [channel.name for channel in theirs.channels], f"{place}: {run.path} was trained with it"
    )
    seen = plan.seen_by(inputs)
    _same_processing(place, run, _processing(theirs), _processing(seen))
    labels = label_map(plan, theirs.classes, theirs.regions, classes, f"teachers.{name}.classes", run.path)
    if not run.finished:
        raise SegdistillError(
            f"{place}: {run.path} is not finished; go on with it by `segdistill train ... --resume`"
        )
    facts_there = facts_of(run)
    if facts_there.spatial_dims != facts.spatial_dims:
        raise SegdistillError(
            f"{place}: {run.path} is a {facts_there.spatial_dims}-D network, the student sees "
            f"{facts.spatial_dims}-D patches; "
            "use the same data.slices for both"
        )
    network = load_network(run)
    fixed = getattr(network, "image_size", None)
    if fixed is not None and tuple(fixed) != facts.image_size:
        raise SegdistillError(
            f"{place}: {type(network).__name__} of {run.path} is made for patches of {list(fixed)}, "
            f"the recipe has data.patch_size {list(facts.image_size)}; use the teacher's size"
        )
    try:
        intensities = IntensityMap.between(seen.channels, theirs.channels)
    except ValueError as error:
        raise SegdistillError(f"{place}: {run.path}: {error}") from error
    everything = inputs == tuple(range(len(plan.channels)))
    return Teacher(
        network,
        weight,
        run.path,
        inputs=None if everything else inputs,
        intensities=intensities,
        labels=labels,
        score=best_dice(run),
    )


def label_map(
    plan: Plan, theirs: Sequence[str], regions: bool, wanted: Any, place: str, path: Path
) -> LabelMap | None:  # fmt: skip
    """Which of the student's classes a teacher knows.

    Raises:
        SegdistillError: they differ and nothing was said, or what was said does not fit; the place is named.
    """
    if regions != plan.regions:
        kinds = {True: "overlapping regions", False: "exclusive classes"}
        raise SegdistillError(
            f"{place}: {path} knows {kinds[regions]}, the student learns {kinds[plan.regions]}; these do not compare"
        )
    try:
        return LabelMap.by_name(plan.classes, theirs, wanted, regions)
    except ValueError as error:
        raise SegdistillError(f"{place}: {path}: {error}") from error


def best_dice(run: Run) -> float | None:
    """The best Dice of a run on its validation cases, 0 to 1; None where none was logged."""
    scores = [event.get("validation") or {} for event in run.events() if event["event"] == "epoch"]
    found = [score["dice"] for score in scores if score.get("dice") is not None]
    return max(found, default=None)


def _processing(plan: Plan) -> dict[str, Any]:
    """What preprocessing did to the voxels; without statistics of the training cases, which can be mapped."""
    told = plan.to_dict()
    channels = [{k: v for k, v in channel.items() if k != "statistics"} for channel in told["channels"]]
    kept = {key: told.get(key) for key in ("spacing", "crop", "interpolation")}
    masked = any(isinstance(c.intensity, Masked) and c.intensity.masks for c in plan.channels)
    kept["mask_first"] = plan.mask_first and masked  # it changes nothing for other channels
    return kept | {"intensities": channels}


def _same_processing(place: str, run: Run, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    # Through JSON, because a plan that was read has lists where a new one has tuples.
    theirs, ours = json.loads(json.dumps(theirs)), json.loads(json.dumps(ours))
    different = [key for key in ours if theirs.get(key) != ours[key]]
    if different:
        told = "; ".join(f"{key}: teacher {theirs.get(key)!r}, here {ours[key]!r}" for key in different[:2])
        raise SegdistillError(
            f"{place}: {run.path} was trained on another preprocessing ({told}). A teacher must see what the student "
            "sees: train it with the same `data` section, or name another run"
        )
