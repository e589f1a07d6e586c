"""A teacher from a segdistill run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from segdistill.data.plan import Plan
from segdistill.errors import SegdistillError
from segdistill.model import Facts, facts_of, load_network
from segdistill.run import Run
from segdistill.teachers.teacher import Teacher


def load(path: str | Path, plan: Plan, facts: Facts, *, name: str, weight: float = 1.0) -> Teacher:
    """The network of a finished run, as a teacher for data prepared by `plan`.

    Raises:
        SegdistillError: no run there, one that is not finished, of another dataset, of another preprocessing, or
            one whose network is made for another patch size.
    """
    place = f"teachers.{name}.run"
    try:
        run = Run.open(path)
    except SegdistillError as error:
        raise SegdistillError(f"{place}: {error}") from None
    theirs, ours = run.plan.to_dict(), plan.to_dict()
    labels = ("name", "labels", "ignore", "regions", "channels", "spatial_dims")
    _same(
        place, run, "another dataset", *({key: d["dataset"][key] for key in labels} for d in (theirs, ours))
    )
    _same(place, run, "another preprocessing", _processing(theirs), _processing(ours))
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
    return Teacher(network, weight, run.path)


def _processing(plan: dict[str, Any]) -> dict[str, Any]:
    """What preprocessing did to the voxels; statistics apart, since other training cases change them alone."""
    channels = [dict(channel) for channel in plan["channels"]]
    statistics = {channel["name"]: channel.pop("statistics") for channel in channels}
    told = {key: plan.get(key) for key in ("spacing", "crop", "interpolation", "mask_first")}
    told |= {"intensities": channels}
    return told | {"statistics of the training cases (data.splits)": statistics}


def _same(place: str, run: Run, what: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    # Through JSON, because a plan that was read has lists where a new one has tuples.
    theirs, ours = json.loads(json.dumps(theirs)), json.loads(json.dumps(ours))
    different = [key for key in ours if theirs.get(key) != ours[key]]
    if different:
        told = "; ".join(f"{key}: teacher {theirs.get(key)!r}, here {ours[key]!r}" for key in different[:2])
        raise SegdistillError(
            f"{place}: {run.path} was trained on {what} ({told}). A teacher must see what the student sees: "
            "train it with the same `data` section, or name another run"
        )
