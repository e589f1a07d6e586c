"""Run folders as evidence: seeds of one recipe are one model; each student has its comparison."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segdistill.errors import SegdistillError
from segdistill.evaluation.statistics import average_seeds
from segdistill.report import likeness
from segdistill.report.run_folder import Cost, RunRecord, is_run, read_run
from segdistill.report.scores import Scores, mean, spread


@dataclass(frozen=True)
class Model:
    """Runs that differ only by seed. `short` is its name in figures: T1, S1, "S1 teach_former"."""

    role: str  # teacher | alone | distilled
    short: str
    runs: tuple[RunRecord, ...]

    @property
    def run(self) -> RunRecord:
        """The run that stands for all where one is needed (overlays, cost): the first that was evaluated."""
        return next((run for run in self.runs if run.scores), self.runs[0])

    @property
    def network(self) -> str:
        return self.run.network

    @property
    def method(self) -> str:
        return self.run.method

    @property
    def cost(self) -> Cost | None:
        return next((run.cost for run in self.runs if run.cost), None)

    @property
    def evaluated(self) -> tuple[RunRecord, ...]:
        return tuple(run for run in self.runs if run.scores)

    @property
    def cases(self) -> tuple[str, ...]:
        """The cases that every evaluated run of this model has scores of."""
        return shared_cases(run.scores for run in self.evaluated if run.scores)

    def by_case(self, metric: str, cases: Sequence[str], name: str | None = None) -> dict[str, float | None]:
        """One value a case (None: undefined), the seeds averaged first."""
        scores = [run.scores for run in self.runs if run.scores]
        return average_seeds([{case: one.of(case, metric, name) for case in cases} for one in scores])

    def by_seed(self, metric: str, cases: Sequence[str], name: str | None = None) -> list[float]:
        """One mean over the cases for each evaluated run."""
        return [mean([run.scores.of(c, metric, name) for c in cases]) for run in self.runs if run.scores]

    def mean(self, metric: str, cases: Sequence[str], name: str | None = None) -> float:
        return mean(list(self.by_case(metric, cases, name).values()))

    def spread(self, metric: str, cases: Sequence[str], name: str | None = None) -> float | None:
        """The standard deviation over seeds; None with one seed."""
        return spread(self.by_seed(metric, cases, name))


@dataclass(frozen=True)
class Comparison:
    """A distilled student, the same network trained alone, and its teachers, best first."""

    student: Model
    alone: Model | None
    teachers: tuple[Model, ...]
    differences: tuple[str, ...]  # settings in which `alone` differs although it should not


@dataclass(frozen=True)
class Evidence:
    """All that the report says is computed from this."""

    models: tuple[Model, ...]
    comparisons: tuple[Comparison, ...]
    baselines: Mapping[str, Scores]
    cases: tuple[str, ...]  # those that every model has scores of; empty where there are none
    missing_teachers: Mapping[str, tuple[str, ...]]  # run name -> teachers whose folder is not there

    def of(self, role: str) -> tuple[Model, ...]:
        return tuple(model for model in self.models if model.role == role)

    @property
    def runs(self) -> tuple[RunRecord, ...]:
        return tuple(run for model in self.models for run in model.runs)

    @property
    def classes(self) -> tuple[str, ...]:
        return next((run.classes for run in self.runs if run.classes), ())

    @property
    def splits(self) -> Mapping[str, tuple[str, ...]]:
        """The evaluated runs' names by the split that they were scored on: test, validation or train."""
        found: dict[str, tuple[str, ...]] = {}
        for run in self.runs:
            if run.scores:
                found[run.split] = (*found.get(run.split, ()), run.name)
        return found

    @property
    def noun(self) -> str:
        """What a scored case is: "test case", "validation case"; only "case" where runs differ in that."""
        kinds = {"test": "test case", "validation": "validation case", "train": "training case"}
        return kinds.get(next(iter(self.splits)), "case") if len(self.splits) == 1 else "case"

    @property
    def headline(self) -> Comparison | None:
        """The distilled student that overlays and worst cases are of: the one with the highest Dice."""
        judged = [c for c in self.comparisons if c.student.evaluated]
        return max(judged, key=lambda c: self.dice(c.student), default=None)

    def cases_of(self, *models: Model) -> tuple[str, ...]:
        """The cases to compare these models on: those all models share, else those that these share."""
        if self.cases:
            return self.cases
        return shared_cases(run.scores for model in models for run in model.evaluated if run.scores)

    def dice(self, model: Model) -> float:
        """The mean Dice of a model, to put models in order; -1 where it has none."""
        value = model.mean("dice", self.cases_of(model))
        return -1.0 if math.isnan(value) else value


def gather(folders: Sequence[Path]) -> Evidence:
    """Read run folders (or folders of run folders), and their teachers where those are still on the disk.

    Raises:
        SegdistillError: no run folder, a broken file, or runs on different data sets.
    """
    runs = [read_run(folder) for folder in _expand(folders)]
    names = {run.dataset for run in runs if run.dataset}
    if len(names) > 1:
        raise SegdistillError(
            f"These runs are on different data sets ({', '.join(sorted(names))}); "
            "a comparison needs the same cases: make one report for each data set"
        )
    missing: dict[str, tuple[str, ...]] = {}
    known = {run.path.resolve(): run for run in runs}
    taught_by: dict[Path, list[RunRecord]] = {}
    for run in list(runs):
        found, lost = _teachers(run, known, names)
        taught_by[run.path.resolve()] = found
        if lost:
            missing[run.name] = tuple(lost)
    runs = list(known.values())
    teacher_paths = {run.path.resolve() for found in taught_by.values() for run in found}
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        groups.setdefault(likeness.identity(run, taught_by.get(run.path.resolve(), [])), []).append(run)
    models = _named([sorted(group, key=_seed) for group in groups.values()], teacher_paths)
    baselines: dict[str, dict[str, Mapping[str, Mapping[str, float]]]] = {}
    for run in runs:
        for name, answer in run.baselines.items():
            baselines.setdefault(name, {}).update(answer.values)
    evidence = Evidence(
        models=models,
        comparisons=tuple(
            _compare(model, models, taught_by) for model in models if model.role == "distilled"
        ),
        baselines={name: Scores(values) for name, values in baselines.items()},
        cases=shared_cases(run.scores for run in runs if run.scores),
        missing_teachers=missing,
    )
    return replace(evidence, comparisons=tuple(_best_first(c, evidence) for c in evidence.comparisons))


def shared_cases(scores: Iterable[Scores]) -> tuple[str, ...]:
    """The cases that all of these have, in order of name."""
    lists = [set(one.cases) for one in scores]
    return tuple(sorted(set.intersection(*lists))) if lists else ()


def _expand(folders: Sequence[Path]) -> list[Path]:
    found: dict[Path, Path] = {}
    for folder in map(Path, folders):
        inside = sorted(p.parent for p in folder.glob("*/run.json")) if folder.is_dir() else []
        for run in [folder] if is_run(folder) or not inside else inside:
            found.setdefault(run.resolve(), run)
    if not found:
        raise SegdistillError(
            "A report needs at least one run folder; give those that `segdistill train` wrote"
        )
    return list(found.values())


def _teachers(
    run: RunRecord, known: dict[Path, RunRecord], datasets: set[str]
) -> tuple[list[RunRecord], list[str]]:
    """The runs that taught `run` (added to `known` where they were not given), and those not found."""
    found, lost = [], []
    for name, source in run.teachers.items():
        places = [Path(source), run.path.parent / source, run.path.parent / Path(source).name]
        place = next((p.resolve() for p in places if source and is_run(p)), None)
        if place is not None and place not in known:
            teacher = read_run(place)
            if not datasets or not teacher.dataset or teacher.dataset in datasets:
                known[place] = teacher
        if place in known:
            found.append(known[place])
        else:
            lost.append(name)
    return found, lost


def _named(groups: list[list[RunRecord]], teacher_paths: set[Path]) -> tuple[Model, ...]:
    def role(group: list[RunRecord]) -> str:
        if group[0].kind == "distilled":
            return "distilled"
        return "teacher" if any(r.path.resolve() in teacher_paths for r in group) else "alone"

    students: dict[str, str] = {}
    models: list[Model] = []
    for wanted in ("teacher", "alone", "distilled"):
        for group in (g for g in groups if role(g) == wanted):
            run = group[0]
            if wanted == "teacher":
                short = f"T{1 + sum(m.role == 'teacher' for m in models)}"
            else:
                short = students.setdefault(likeness.network(run), f"S{1 + len(students)}")
                short = f"{short} {run.method}" if wanted == "distilled" else short
            if any(model.short == short for model in models):
                short = f"{short} ({likeness.without_seed(run.name)})"
            models.append(Model(wanted, short, tuple(group)))
    return tuple(models)


def _compare(
    student: Model, models: Sequence[Model], taught_by: Mapping[Path, list[RunRecord]]
) -> Comparison:
    teachers = [run for own in student.runs for run in taught_by.get(own.path.resolve(), [])]
    alike = [
        (likeness.differences(student.run, model.run), model)
        for model in models
        if model.role != "distilled" and likeness.network(model.run) == likeness.network(student.run)
    ]
    chosen = tuple(model for model in models if any(run in model.runs for run in teachers))
    # A teacher of the same kind as its student is the baseline only where there is no other.
    differences, alone = min(alike, key=lambda pair: (pair[1] in chosen, len(pair[0])), default=((), None))
    return Comparison(student, alone, chosen, tuple(differences))


def _best_first(comparison: Comparison, evidence: Evidence) -> Comparison:
    return replace(comparison, teachers=tuple(sorted(comparison.teachers, key=evidence.dice, reverse=True)))


def _seed(run: RunRecord) -> int:
    return run.seed if run.seed is not None else -1
