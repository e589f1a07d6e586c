"""A study whose folder was moved, or is named otherwise: its runs find each other and the images where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segdistill.atomic import write_json, write_text
from segdistill.recipe import Recipe
from segdistill.run import Run
from segdistill.study.standing_alone import whole


def at_home(recipe: Recipe, planned: Recipe) -> Recipe:
    """A recipe as it was written, with the places of the study's own folder as they are planned now.

    Own are the runs that teach and the synthetic images: what lies there is called the same. Anything else stays, but
    for the same place that is now told from the root.
    """
    moved = recipe.model_copy(deep=True)
    for name, teacher in moved.teachers.items():
        if name in planned.teachers:
            teacher.run = _now(teacher.run, planned.teachers[name].run)
            teacher.path = _from_root(teacher.path, planned.teachers[name].path)
    data = moved.data
    data.path = _now(data.path, planned.data.path)
    data.splits.file = _from_root(data.splits.file, planned.data.splits.file)
    if data.unlabelled is not None and planned.data.unlabelled is not None:
        data.unlabelled.path = _from_root(data.unlabelled.path, planned.data.unlabelled.path)
    return moved


def follow(run: Run, planned: Recipe) -> None:
    """Write into a run that was begun where its teachers lie now, if that has changed."""
    if not (run.file("recipe.yaml").is_file() and run.file("run.json").is_file()):
        return
    recipe = at_home(run.recipe, planned)
    if recipe != run.recipe:
        info = run.info
        known = info.get("teachers") or {}
        info["teachers"] = {name: recipe.teachers[name].run or place for name, place in known.items()}
        write_text(run.file("recipe.yaml"), recipe.to_yaml())
        write_json(run.file("run.json"), info)


def _now(before: str | None, now: str | None) -> str | None:
    """The new place of the same thing in a study's folder: the last two names, such as runs/teacher_seed0."""
    if before is None or now is None:
        return before
    same = Path(before).parts[-2:] == Path(now).parts[-2:] or whole(before) == now
    return now if same else before


def _from_root(before: Any, now: Any) -> Any:
    """The same place, or the same places, as they are told now."""
    return now if whole(before) == now else before
