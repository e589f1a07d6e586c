"""From a study to its runs: every combination of options, folds and seeds, each with its whole recipe."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segdistill.composition import merge
from segdistill.errors import SegdistillError
from segdistill.parts import unknown
from segdistill.recipe import Recipe
from segdistill.study.definition import PATTERN, Group, Option, Study

RUNS = "runs"


@dataclass(frozen=True)
class Planned:
    """One run of a study.

    Attributes:
        name: of its folder: the group, its options, the fold (but for fold 0) and the seed.
        group: of the study.
        options: by dimension, which option.
        fold, seed: of its splits and its random numbers.
        recipe: whole and checked.
        needs: names of the runs that teach it.
    """

    name: str
    group: str
    options: Mapping[str, str]
    fold: int
    seed: int
    recipe: Recipe
    needs: tuple[str, ...]

    @property
    def distils(self) -> bool:
        """Whether it has teachers, or teaches itself."""
        return bool(self.recipe.terms or self.recipe.critic)


@dataclass(frozen=True)
class Row:
    """Runs that differ by fold and seed alone.

    Attributes:
        stem: what their names begin with: the group and its options.
        part: recipe, settings and teachers, the group's with those of its options laid over them.
    """

    stem: str
    group: str
    options: Mapping[str, str]
    part: Option
    folds: tuple[int, ...]
    seeds: tuple[int, ...]


def expand(study: Study, out: Path) -> list[Planned]:
    """All runs of a study in an order in which teachers come before their students.

    Args:
        out: the study's folder; run NAME lies in `out`/runs/NAME.

    Raises:
        SegdistillError: a teacher that is no group, a group that teaches itself, two runs of one name, or a recipe that
            is none.
    """
    rows = rows_of(study)
    names = [_name(row.stem, fold, seed) for row in rows for fold in row.folds for seed in row.seeds]
    if twice := next((name for name, number in Counter(names).items() if number > 1), None):
        raise SegdistillError(f"groups: two runs would be called {twice}; rename a group or an option")
    return _teachers_first([one for row in rows for one in _planned(study, row, rows, out)])


def rows_of(study: Study) -> list[Row]:
    """The rows of all its groups, in order."""
    return [row for name, group in study.groups.items() for row in _rows(study, name, group)]


def recipe_of(study: Study, row: Row, over: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of a row; its teachers are called as their groups are.

    Args:
        over: laid over the row's own settings.

    Raises:
        SegdistillError: the row has no recipe, or one that is none.
    """
    place = f"groups.{row.group}"
    if row.part.recipe is None:
        raise SegdistillError(f"{place}.recipe: is required (a recipe by name, or its file)")
    layers = [study.recipe(row.part.recipe), study.settings, row.part.settings, over or {}]
    try:
        if row.part.teachers:
            # Teachers of the recipe that are trained runs and get none from the study are no part of it.
            taught = _taught(row)
            own = Recipe.load(*layers).teachers
            gone = {name: None for name, each in own.items() if each.frozen and name not in taught}
            layers.append({"teachers": {**gone, **{name: {"run": group} for name, group in taught.items()}}})
        return Recipe.load(*layers)
    except SegdistillError as error:
        raise SegdistillError(f"{place} ({row.stem}): {error}") from error


def _taught(row: Row) -> dict[str, str]:
    """The groups that teach a row, by the teacher's name in its recipe."""
    return {teacher: group for teacher, group in row.part.teachers.items() if group is not None}


def _rows(study: Study, name: str, group: Group) -> Iterator[Row]:
    dimensions = {dimension: dict(options) for dimension, options in group.vary.items()}
    if group.every is not None:
        dimensions[group.every] = _subsets(study, name, group)
    for chosen in itertools.product(*(options.items() for options in dimensions.values())):
        part: Option = group
        for _, option in chosen:
            part = Option(
                recipe=option.recipe or part.recipe,
                settings=merge(part.settings, option.settings),
                teachers={**part.teachers, **option.teachers},
            )
        labels = dict(zip(dimensions, (label for label, _ in chosen), strict=True))
        yield Row(
            "_".join([name, *labels.values()]), name, labels, part,
            tuple(group.folds or study.folds), tuple(group.seeds or study.seeds),
        )  # fmt: skip


def _subsets(study: Study, name: str, group: Group) -> dict[str, Option]:
    """An option for each subset of the teachers, or of the recipe's terms, with what is always kept."""
    place = f"groups.{name}"
    if group.recipe is None:
        raise SegdistillError(f"{place}.every: needs the group's recipe")
    whole = Recipe.load(study.recipe(group.recipe), group.settings)
    there = [*group.teachers] if group.every == "teachers" else [*whole.terms]
    for kept in group.keep:
        if kept not in there:
            raise SegdistillError(f"{place}.keep: {unknown(kept, there)}")
    free = [one for one in there if one not in group.keep]
    found: dict[str, Option] = {}
    for size in range(len(free) + 1):
        for chosen in itertools.combinations(free, size):
            subset = [one for one in there if one in group.keep or one in chosen]
            if not subset:
                continue  # a student alone: a group of its own
            gone = [one for one in there if one not in subset]
            label = "-".join(subset).replace("_", "")
            if label in found or not re.fullmatch(PATTERN, label):
                raise SegdistillError(
                    f"{place}.every: the subset {', '.join(subset)} would be called {label!r}, "
                    + ("as another one is" if label in found else "which cannot be a part of a folder's name")
                    + f"; rename {group.every}"
                )
            if group.every == "teachers":
                found[label] = Option(teachers=dict.fromkeys(gone))
            else:
                found[label] = Option(settings={"terms": dict.fromkeys(gone)})
    return found


def _planned(study: Study, row: Row, rows: Sequence[Row], out: Path) -> Iterator[Planned]:
    """The runs of a row: one recipe with other folds, seeds and teachers."""
    whole, taught = recipe_of(study, row), _taught(row)
    for fold, seed in itertools.product(row.folds, row.seeds):
        recipe, needs = whole.model_copy(deep=True), list[str]()
        recipe.data.splits.fold, recipe.train.seed = fold, seed
        for teacher, group in taught.items():
            place = f"groups.{row.group}.teachers.{teacher}"
            needs.append(_teacher_run(group, row, fold, seed, rows, place))
            recipe.teachers[teacher].run = str(out / RUNS / needs[-1])
        yield Planned(_name(row.stem, fold, seed), row.group, row.options, fold, seed, recipe, tuple(needs))


def _name(stem: str, fold: int, seed: int) -> str:
    """Of a run; the first fold is not named, so that runs keep their names when folds are added."""
    return f"{stem}_fold{fold}_seed{seed}" if fold else f"{stem}_seed{seed}"


def _teacher_run(group: str, row: Row, fold: int, seed: int, rows: Sequence[Row], place: str) -> str:
    """The run of a group (or of one of its rows) that teaches this fold: of the same seed, else of its first."""
    known = {each.stem: each for each in rows}
    if group not in known:
        raise SegdistillError(f"{place}: {unknown(group, known)}")
    teacher = known[group]
    if teacher.group == row.group:
        raise SegdistillError(f"{place}: {group} would teach itself")
    if fold not in teacher.folds:
        raise SegdistillError(
            f"{place}: {group} has no run of fold {fold} (its folds: {', '.join(map(str, teacher.folds))})"
        )
    return _name(group, fold, seed if seed in teacher.seeds else teacher.seeds[0])


def _teachers_first(planned: Sequence[Planned]) -> list[Planned]:
    """In order of how many generations of teachers come before.

    Raises:
        SegdistillError: groups that teach each other.
    """
    waiting, done, ordered = list(planned), set[str](), list[Planned]()
    while waiting:
        ready = [one for one in waiting if done.issuperset(one.needs)]
        if not ready:
            names = ", ".join(sorted({one.group for one in waiting}))
            raise SegdistillError(f"groups: {names} teach each other")
        ordered += ready
        done |= {one.name for one in ready}
        waiting = [one for one in waiting if one.name not in done]
    return ordered
