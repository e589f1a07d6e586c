"""What is missing where a distilled student has no student alone: why, recipe and commands."""

from __future__ import annotations

import shlex
from pathlib import Path

import yaml

from segdistill.atomic import write_text
from segdistill.composition import undistilled
from segdistill.report import unscored
from segdistill.report.evidence import Comparison, Evidence, Model
from segdistill.report.likeness import without_seed
from segdistill.report.names import distinct
from segdistill.report.run_folder import RunRecord


def is_missing(comparison: Comparison) -> bool:
    """Whether there is no student alone with scores."""
    return comparison.alone is None or not comparison.alone.evaluated


def why_missing(comparison: Comparison) -> str:
    """The rest of a sentence: why there is nothing to compare with."""
    alone = comparison.alone
    if alone is None:
        return "no run of the same network trained alone is among these runs"
    return f"the same network trained alone ({alone.short}) {unscored.why(alone)}"


def commands(comparison: Comparison, evidence: Evidence, out: Path) -> str | None:
    """Commands, one a line, for the student alone: train it, go on with it or evaluate it; None where none is known."""
    if comparison.alone is not None:
        return unscored.commands(comparison.alone.runs)
    student = comparison.student
    several_folds = len({run.fold for run in student.runs}) > 1
    lines = (_command(run, several_folds, recipe_path(student, evidence, out)) for run in student.runs)
    return "\n".join(dict.fromkeys(lines))


def recipe_path(student: Model, evidence: Evidence, out: Path) -> Path:
    """Where the recipe of the student alone is written: beside the report, and no other student's there."""
    students = evidence.of("distilled")
    names = distinct((_stem(one) for one in students), "_{}")
    own = dict(zip((one.short for one in students), names, strict=True))[student.short]
    return out / f"{own}_alone.yaml"


def write_recipe(student: Model, evidence: Evidence, out: Path) -> None:
    """Write the recipe of a distilled student without what distils: same network, same data, same budget."""
    recipe = undistilled(student.run.recipe)
    recipe |= {"name": "student_alone"}
    recipe["summary"] = f"The student of {_stem(student)}, trained alone with the same budget."
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=110)
    write_text(recipe_path(student, evidence, out), text)


def _stem(student: Model) -> str:
    """What its runs are called, as a file's name: a run of a name that others have is called folder/name."""
    return without_seed(student.run.name, student.run.seed).replace("/", "_")


def _command(run: RunRecord, several_folds: bool, recipe: Path) -> str:
    """That trains the student alone beside a run, with its seed and fold."""
    seed, folder = run.seed or 0, recipe.stem
    settings = f"train.seed={seed}"
    if several_folds:
        settings += f" data.splits.fold={run.fold}"
        folder += f"_fold{run.fold}"
    out = run.path.parent / f"{folder}_seed{seed}"
    return f"segdistill train {shlex.quote(str(recipe))} {settings} --out {shlex.quote(str(out))}"
