"""Distil: train the teachers that are not there yet, then the student."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

from segdistill.composition import merge, undistilled
from segdistill.errors import SegdistillError
from segdistill.recipe import Recipe
from segdistill.run import IfExists, Run
from segdistill.teachers.own_run import OwnRun
from segdistill.teachers.source import Source
from segdistill.teachers.teacher import Teacher
from segdistill.training.assemble import joined, student_of
from segdistill.training.knowledge import knowledge_of
from segdistill.training.prepare import prepare
from segdistill.training.teachers import Given, network_of, teachers_of
from segdistill.training.train import train


def distill(
    recipe: Recipe,
    out: str | Path,
    *,
    if_exists: IfExists = "fail",
    student: nn.Module | None = None,
    teachers: Mapping[str, Given | str | Path] | None = None,
    trust: bool = False,
) -> Run:
    """Distil the recipe's teachers into its student.

    A teacher whose run does not exist (or was interrupted) is trained first where the recipe names its network.

    Args:
        recipe: with teachers and terms.
        out: the student's run folder.
        if_exists: what to do where `out` exists: `fail`, `resume` or `overwrite`. A finished teacher is never
            trained again.
        student: a network of the caller's own, instead of what the recipe names.
        teachers: networks of the caller's own, functions of images, sources of answers for whole cases, or paths of
            trained models of any kind, instead of those that the recipe names.
        trust: let files that teachers come from run code (MONAI bundles, torch.export programs, some pickles).

    Raises:
        SegdistillError: the recipe has no terms, a teacher is missing, or anything that `train` raises.
    """
    if teachers is not None:
        recipe = _with_teachers(recipe, teachers)
    own_teacher = any(term.teacher_is for term in recipe.terms.values())
    if not (recipe.terms or recipe.critic) or not (recipe.teachers or own_teacher):
        raise SegdistillError(
            f"recipe {recipe.name!r} has no {'teachers' if recipe.terms else 'terms'}, so there is nothing to distil; "
            "`segdistill train` trains a network alone, `segdistill list recipes` shows what distils"
        )
    Run(Path(out)).must_suit(if_exists)
    own = {name: given for name, given in (teachers or {}).items() if not isinstance(given, str | Path)}
    missing = [
        name
        for name, section in recipe.teachers.items()
        if section.frozen
        and section.path is None
        and name not in own
        and not trained_run(recipe, name, Path(out))
    ]
    if missing:
        rehearse(recipe, student, own, missing, trust=trust)
    for name in missing:
        run = Path(recipe.teachers[name].run or "")
        Console(stderr=True).print(
            f"teachers.{name}: there is no run at {run} yet, so this teacher is trained first; "
            f"teachers.{name}.run=FOLDER names one that you have",
            highlight=False,
            markup=False,
        )
        if near := _like(run):
            Console(stderr=True).print(
                f"note: did you mean {near}, which exists?", highlight=False, markup=False
            )
        try:
            train(teacher_recipe(recipe, name), run, if_exists="resume" if Run(run).exists else "fail")
        except SegdistillError as error:
            raise SegdistillError(
                f"teachers.{name}, which is trained first: {error} (its folder is teachers.{name}.run, its budget "
                f"teachers.{name}.train)"
            ) from error
    return train(recipe, out, if_exists=if_exists, student=student, teachers=own, trust=trust)


def _like(run: Path) -> Path | None:
    """A finished run beside a folder that is not there, with a name much like it."""
    if run.exists() or not run.parent.is_dir():
        return None
    runs = [other.name for other in run.parent.iterdir() if Run(other).trained]
    close = difflib.get_close_matches(run.name, runs, n=1)
    return run.with_name(close[0]) if close else None


def trained_run(recipe: Recipe, name: str, out: Path) -> bool:
    """Whether the teacher's run is there and finished; if not, whether it can be trained first is seen to.

    Raises:
        SegdistillError: there is no finished run and no network to train, or the run's folder is `out`.
    """
    section = recipe.teachers[name]
    if section.run is None:
        raise SegdistillError(
            f"teachers.{name}.run: is required (the folder of a run, from `segdistill train`)"
        )
    run = Run(Path(section.run))
    if run.path.resolve() == out.resolve():
        raise SegdistillError(f"teachers.{name}.run and --out are one folder, {out}; choose another --out")
    if run.trained:
        return True
    if section.network is None and run.file("run.json").is_file():
        raise SegdistillError(
            f"teachers.{name}.run: {section.run} is not a finished run; go on with it by the command that began it "
            "and --resume"
        )
    if section.network is None:
        raise SegdistillError(
            f"teachers.{name}.run: {section.run} is not a finished run; train one with `segdistill train student_alone "
            f"... --out RUN` and name it by teachers.{name}.run=RUN, or let it be trained first by "
            f"teachers.{name}.network={{type: ...}}"
        )
    return False


def rehearse(
    recipe: Recipe,
    student: nn.Module | None,
    own: Mapping[str, Given],
    missing: Sequence[str],
    *,
    trust: bool = False,
) -> None:
    """Put everything together once, with untrained networks for the teachers that are not there yet.

    A stage, size or width that does not fit is then told now, not after the teachers were trained for hours.

    Raises:
        SegdistillError: something does not fit.
    """
    data = prepare(recipe, student=student)
    given: dict[str, Given] = dict(own)
    for name in missing:
        given[name] = network_of(recipe.teachers[name].network or {}, data, f"teachers.{name}.network")
    student = student_of(data, student)
    known = teachers_of(data, student, given, trust=trust)
    joined(data, student, knowledge_of(data, student, known, ask=False, shown=False).teachers)


def teacher_recipe(recipe: Recipe, name: str) -> Recipe:
    """The recipe that trains a teacher: its network alone, on the student's data and budget unless it has its own."""
    section = recipe.teachers[name]
    plain = recipe.model_dump(mode="json")
    alone: dict[str, Any] = undistilled(plain)
    alone |= {"name": name, "summary": f"teacher {name} of {recipe.name}", "student": section.network}
    alone["train"] = merge(plain["train"], section.train)
    return Recipe.check(alone)


def _with_teachers(recipe: Recipe, given: Mapping[str, Any]) -> Recipe:
    """The recipe with the given teachers in the place of its own that are runs; what it says of equal names stays."""
    plain = recipe.model_dump(mode="json")
    sections: dict[str, Any] = {
        name: plain["teachers"][name] for name, section in recipe.teachers.items() if not section.frozen
    }
    for name, teacher in given.items():
        old = recipe.teachers.get(name)
        gone = {"run", "path", "source", "train", *(() if isinstance(teacher, str | Path) else ("folds",))}
        sections[name] = {} if old is None else old.model_dump(mode="json", exclude=gone)
        if isinstance(teacher, str | Path):
            at = "run" if OwnRun.recognises(Path(teacher)) or not Path(teacher).exists() else "path"
            sections[name][at] = str(teacher)
            if at == "path":
                sections[name].pop("network", None)
        elif not isinstance(teacher, nn.Module | Teacher | Source) and not callable(teacher):
            raise SegdistillError(
                f"teachers.{name}: expected a torch.nn.Module, a function of images, a Teacher, a Source or the path "
                f"of a trained model, got {type(teacher).__name__}"
            )
    return Recipe.check(plain | {"teachers": sections})


def alone(
    recipe: Recipe, out: str | Path, *, if_exists: IfExists = "fail", student: nn.Module | None = None
) -> Run:
    """The baseline: the recipe's student trained alone, with the same data, budget and seed."""
    plain = undistilled(recipe.model_dump(mode="json"))
    plain |= {"name": "student_alone", "summary": f"the student of {recipe.name}, alone"}
    return train(Recipe.check(plain), out, if_exists=if_exists, student=student)
