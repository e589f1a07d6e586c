"""Runs that another study has made already: the same recipe on the same images, taught by the same teachers."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from segdistill.atomic import new_folder, write_json, write_text
from segdistill.recipe import IDENTITY
from segdistill.run import Run
from segdistill.study.expansion import RUNS, Planned
from segdistill.study.folder import StudyFolder

ELSEWHERE = ("store", "workers")
"""Settings of the data that do not change what a run becomes."""


def reuse(folder: StudyFolder, other: StudyFolder) -> list[str]:
    """Take over the runs of another study that this one asks for, too, and that are done there.

    Files are linked where the disk allows it, else copied: a run that is done is not written to again. A run that was
    begun here stays as it is.

    Returns:
        The names of the runs taken over, as they are called here.
    """
    there = {_identity(one, other): one for one in other.planned if other.status(one) == "done"}
    found = []
    for one in folder.planned:
        twin = there.get(_identity(one, folder))
        if twin is not None and folder.status(one) == "waiting":
            _take(Run.open(other.run(twin.name).path), folder.run(one.name).path, one)
            found.append(one.name)
    return found


def _identity(planned: Planned, folder: StudyFolder) -> str:
    """What makes a run what it is, wherever it lies and whatever it is called: its recipe and those of its teachers."""
    plain = {
        key: value for key, value in planned.recipe.model_dump(mode="json").items() if key not in IDENTITY
    }
    plain["data"] = {key: value for key, value in plain["data"].items() if key not in ELSEWHERE}
    teachers = {str(folder.path / RUNS / name): _identity(folder.one(name), folder) for name in planned.needs}
    for teacher in plain["teachers"].values():
        teacher["run"] = teachers.get(teacher["run"], teacher["run"])
    return json.dumps(plain, sort_keys=True)


def _take(source: Run, target: Path, planned: Planned) -> None:
    recipe, info = source.recipe, dict(source.info)
    for name, teacher in planned.recipe.teachers.items():
        recipe.teachers[name].run = teacher.run
    known = info.get("teachers", {})
    info["teachers"] = {name: planned.recipe.teachers[name].run for name in known}
    info["name"] = planned.name
    target.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(target) as temporary:
        shutil.copytree(source.path, temporary, dirs_exist_ok=True, copy_function=_link)
        # `replacing` breaks the links of these two: the other study's stay as they are.
        write_text(temporary / "recipe.yaml", recipe.to_yaml())
        write_json(temporary / "run.json", info)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)
