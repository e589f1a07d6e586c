"""Runs that another study has made already: the same recipe on the same images, taught by the same teachers."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from segdistill.atomic import new_folder, write_json, write_text
from segdistill.recipe import IDENTITY
from segdistill.run import CIRCUMSTANCE, Run
from segdistill.study.expansion import RUNS, Planned
from segdistill.study.folder import StudyFolder
from segdistill.study.moved import at_home
from segdistill.study.standing_alone import whole_places


def reuse(folder: StudyFolder, other: StudyFolder) -> list[str]:
    """Take over the runs of another study that this one asks for, too, and that are done there.

    Files are linked where the disk allows it, else copied: a run that is done is not written to again. A run that was
    begun here stays as it is.

    Returns:
        The names of the runs taken over, as they are called here.
    """
    of_other = _identities(other)
    there = {of_other[one.name]: one for one in other.planned if other.status(one) == "done"}
    here, found = _identities(folder), []
    for one in folder.planned:
        twin = there.get(here[one.name])
        if twin is not None and folder.status(one) == "waiting":
            _take(Run.open(other.run(twin.name).path), folder.run(one.name).path, one)
            found.append(one.name)
    return found


def _identities(folder: StudyFolder) -> dict[str, str]:
    """By run, what makes it what it is wherever it lies and whatever it is called: its recipe, its teachers' too.

    The recipe is the run's own where it was begun, whatever the study has come to ask for since.
    """
    found: dict[str, str] = {}
    for one in folder.planned:  # teachers come first
        run = folder.run(one.name)
        recipe = at_home(run.recipe, one.recipe) if run.file("recipe.yaml").is_file() else one.recipe
        plain = whole_places(recipe.model_dump(mode="json", exclude=set(IDENTITY)))
        for key in CIRCUMSTANCE["data"]:
            plain["data"].pop(key)
        teachers = {str(folder.path / RUNS / name): found[name] for name in one.needs}
        for teacher in plain["teachers"].values():
            teacher["run"] = teachers.get(teacher["run"], teacher["run"])
        found[one.name] = json.dumps(plain, sort_keys=True)
    return found


def _take(source: Run, target: Path, planned: Planned) -> None:
    recipe, info = at_home(source.recipe, planned.recipe), dict(source.info)
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
