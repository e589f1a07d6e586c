"""A teacher from a segdistill run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segdistill.data.intensity import Masked
from segdistill.data.plan import Plan
from segdistill.data.slices import Slices
from segdistill.errors import SegdistillError
from segdistill.model import Facts, facts_of, load_network
from segdistill.run import Run
from segdistill.teachers.intensity_map import IntensityMap
from segdistill.teachers.label_map import LabelMap
from segdistill.teachers.planned import Planned
from segdistill.teachers.teacher import Teacher


@dataclass(frozen=True)
class OwnRun:
    """A finished run of segdistill, with whatever preprocessing it was trained on."""

    @staticmethod
    def recognises(path: Path) -> bool:
        """Whether a folder is a run."""
        return (path / "run.json").is_file()

    def open(self, path: Path, *, trust: bool = False) -> Planned:
        """The best network of the run and the plan of its images.

        Args:
            trust: not needed; checkpoints of runs are safetensors.

        Raises:
            SegdistillError: no run there, or one that is not finished.
        """
        run = Run.open(path)
        if not run.finished:
            raise SegdistillError(
                f"{run.path} is not finished; go on with it by `segdistill train ... --resume`"
            )
        asked = run.recipe.data.slices
        return Planned(
            load_network(run),
            run.plan,
            facts_of(run).image_size,
            None if asked is None else Slices(**asked.model_dump()),
            learnt_from(run),
            best_dice(run),
        )


def load(
    path: str | Path,
    plan: Plan,
    facts: Facts,
    *,
    place: str,
    slices: Slices | None = None,
    weight: float = 1.0,
    classes: Sequence[str] | Mapping[str, str | Sequence[str]] | None = None,
) -> Teacher:
    """The network of a finished run, as a teacher for data prepared by `plan`.

    Its image channels are found by name among those of the data, and its classes by name among the student's. Where its
    training cases had other statistics, the intensities that it sees are brought to those. Where it was trained on
    another preprocessing (spacing, kind of intensity, crop, slices), it answers for whole cases, in its own way.

    Args:
        place: in the recipe, for messages.
        slices: how the student reads volumes.
        classes: what to learn from it where its classes differ (`LabelMap.by_name`).

    Raises:
        SegdistillError: no run there, one that is not finished, or whose channels or classes the data lack.
    """
    try:
        source = OwnRun().open(Path(path))
    except SegdistillError as error:
        raise SegdistillError(f"{place}: {error}") from None
    theirs = source.plan
    if theirs.spatial_dims != plan.spatial_dims:
        raise SegdistillError(
            f"{place}: {path} was trained on {theirs.spatial_dims}-D images, these are {plan.spatial_dims}-D"
        )
    about = place.rpartition(".")[0]
    try:
        inputs = plan.numbers_of(source.channels, f"{place}: {path} was trained with it")
    except SegdistillError as error:
        raise SegdistillError(
            f"{error}; where it has another name here, say by {about}.sees.inputs=[...] which of them it is to see, in "
            f"its order ({', '.join(source.channels)})"
        ) from None
    seen = plan.seen_by(inputs)
    labels = label_map(plan, theirs.classes, theirs.regions, classes, f"{about}.classes", Path(path))
    known = Teacher(None, weight, Path(path), labels=labels, score=source.score, trained_on=source.trained_on)
    apart = differences(_processing(theirs), _processing(seen))
    if source.slices != slices and not (source.slices and slices and source.slices.axis == slices.axis):
        apart = f"it sees {'slices' if source.slices else 'volumes'}, the student {'slices' if slices else 'volumes'}"
    try:
        intensities = IntensityMap.between(seen.channels, theirs.channels)
    except ValueError as error:
        apart, intensities = apart or str(error), None
    if apart:
        return replace(known, whole_cases=source, channels=source.channels, apart=apart)
    return replace(
        known,
        network=source.network,
        inputs=None if inputs == tuple(range(len(plan.channels))) else inputs,
        intensities=intensities,
        window=source.window,
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


def learnt_from(run: Run) -> tuple[str, ...]:
    """The cases that a run's network has learnt from: its own training cases, and those of its teachers in turn."""
    taught = run.info.get("taught_on") or {}
    return tuple(sorted({*run.splits.train, *(case for cases in taught.values() for case in cases)}))


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


def differences(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """In words, what preprocessing did differently for a teacher; empty where it is the same."""
    # Through JSON, because a plan that was read has lists where a new one has tuples.
    theirs, ours = json.loads(json.dumps(theirs)), json.loads(json.dumps(ours))
    different = [key for key in ours if theirs.get(key) != ours[key]]
    return "; ".join(f"{key}: teacher {theirs.get(key)!r}, here {ours[key]!r}" for key in different[:2])
