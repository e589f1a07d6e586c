"""What is missing where a distilled student has no student alone: recipe and commands."""

from __future__ import annotations

import shlex
from pathlib import Path

import yaml

from segdistill.atomic import write_text
from segdistill.composition import undistilled
from segdistill.report.evidence import Comparison, Model
from segdistill.report.likeness import without_seed


def is_missing(comparison: Comparison) -> bool:
    """Whether there is no student alone with scores."""
    return comparison.alone is None or not comparison.alone.evaluated


def commands(comparison: Comparison, out: Path) -> str:
    """Commands, one a line, for the student alone: evaluate it if it is trained, else train it."""
    student = comparison.student
    if comparison.alone is not None:
        return "\n".join(f"segdistill evaluate {shlex.quote(str(run.path))}" for run in comparison.alone.runs)
    recipe = shlex.quote(str(recipe_path(student, out)))
    lines = []
    for run in student.runs:
        seed = run.seed or 0
        folder = shlex.quote(str(run.path.parent / f"{without_seed(run.name)}_alone_seed{seed}"))
        lines.append(f"segdistill train {recipe} train.seed={seed} --out {folder}")
    return "\n".join(lines)


def recipe_path(student: Model, out: Path) -> Path:
    """Where the recipe of the student alone is written: beside the report."""
    return out / f"{without_seed(student.run.name)}_alone.yaml"


def write_recipe(student: Model, out: Path) -> None:
    """Write the recipe of a distilled student without what distils: same network, same data, same budget."""
    recipe = undistilled(student.run.recipe)
    recipe |= {"name": "student_alone"}
    recipe["summary"] = (
        f"The student of {without_seed(student.run.name)}, trained alone with the same budget."
    )
    write_text(
        recipe_path(student, out), yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=110)
    )
