"""Run folders as evidence: seeds of one recipe are one model; each student has its comparison."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from segdistill.errors import SegdistillError
from segdistill.evaluation.statistics import average_seeds
from segdistill.report import likeness
from segdistill.report.leaks import Leak, cases_in, clean, learnt_cases, merged
from segdistill.report.origins import origin, run_folder
from segdistill.report.run_folder import Cost, RunRecord, is_run, read_run
from segdistill.report.scores import Scores, mean, spread


@dataclass(frozen=True)
class Model:
    """Runs that differ only by seed, or by fold. `short` is its name in figures: T1, S1, "S1 teach_former"."""

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
        """The cases that every evaluated run of this model has scores of; of folds, those of all of them together."""
        folds = {run.fold for run in self.evaluated}
        found: set[str] = set()
        for fold in folds:
            found.update(
                shared_cases(run.scores for run in self.evaluated if run.scores and run.fold == fold)
            )
        return tuple(sorted(found))

    @property
    def repeats(self) -> str:
        """How often it was trained, in words: 3 seeds, 5 folds, 5 folds x 3 seeds."""
        folds, seeds = ({getattr(run, key) for run in self.evaluated} for key in ("fold", "seed"))
        of_seeds = max((sum(run.fold == fold for run in self.evaluated) for fold in folds), default=0)
        told = [f"{len(folds)} folds"] if len(folds) > 1 else []
        if not told or len(seeds) > 1:
            told.append(f"{of_seeds} seed{'' if of_seeds == 1 else 's'}")
        return " \u00d7 ".join(told)

    def cases_with(self, other: RunRecord) -> set[str]:
        """The cases that it is scored on by runs of the same fold as another run; without folds, all of them."""
        runs = [run for run in self.evaluated if other.fold is None or run.fold in (None, other.fold)]
        return {case for run in runs if run.scores for case in run.scores.cases} & set(self.cases)

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
class Missing:
    """A teacher that has no row."""

    name: str
    what: str  # in words; empty where nothing is there any more
    told: bool  # whether it is known what it had learnt from


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that the report says is computed from this."""

    models: tuple[Model, ...]
    comparisons: tuple[Comparison, ...]
    baselines: Mapping[str, Scores]
    cases: tuple[
        str, ...
    ]  # that all models have scores of and no teacher had learnt from; empty without such
    missing_teachers: Mapping[str, tuple[Missing, ...]]  # run name -> teachers that are no run folder
    leaks: Mapping[Path, tuple[Leak, ...]] = field(default_factory=dict)  # by the path of a run
    members: frozenset[Path] = frozenset()  # runs that taught only together with others, as one teacher

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
        """The distilled student that overlays and worst cases are of: the first in rank."""
        judged = [c for c in self.comparisons if c.student.evaluated]
        return max(judged, key=lambda c: self.rank(c.student), default=None)

    def leaks_of(self, *models: Model) -> tuple[Leak, ...]:
        """The leaks of all runs of these models, by teacher."""
        runs = [run for model in models for run in model.runs]
        return merged(leak for run in runs for leak in self.leaks.get(run.path, ()))

    def leaking(self, *models: Model) -> frozenset[str]:
        """The scored cases of these models that any teacher of theirs had learnt from."""
        return cases_in(self.leaks_of(*models))

    def cases_of(self, *models: Model) -> tuple[str, ...]:
        """The cases to compare these models on: those all models share, else those that these share.

        Cases that a teacher of theirs had learnt from are left out, unless there are no others.
        """
        shared = _shared(models)
        cases, leaking = self.cases or shared, self.leaking(*models)
        return tuple(case for case in cases if case not in leaking) or cases

    def tainted(self, *models: Model) -> bool:
        """Whether a teacher had learnt from every case that these models are compared on: no evidence, then."""
        return not self.leaking(*models).isdisjoint(self.cases_of(*models))

    def left_out(self, *models: Model) -> tuple[str, ...]:
        """Cases that these models have scores of, left out because a teacher had learnt from them."""
        shared = _shared(models)
        dropped = self.leaking(*self.models) - set(self.cases_of(*models))
        return tuple(case for case in shared if case in dropped)

    def rank(self, model: Model) -> tuple[bool, float]:
        """To put students in order, the last first: those whose figures are evidence, then by Dice."""
        return not self.tainted(model), self.dice(model)

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
    missing: dict[str, tuple[Missing, ...]] = {}
    known = {run.path.resolve(): run for run in runs}
    by_name: dict[Path, dict[str, list[RunRecord]]] = {}
    for run in list(runs):
        found, lost = _teachers(run, known, names)
        by_name[run.path.resolve()] = found
        if lost:
            missing[run.name] = tuple(lost)
    runs = list(known.values())
    taught_by = {path: [one for those in found.values() for one in those] for path, found in by_name.items()}
    teacher_paths = {run.path.resolve() for found in taught_by.values() for run in found}
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        groups.setdefault(likeness.identity(run, taught_by.get(run.path.resolve(), [])), []).append(run)
    models = _named([sorted(group, key=_seed) for group in groups.values()], teacher_paths)
    baselines: dict[str, dict[str, Mapping[str, Mapping[str, float]]]] = {}
    for run in runs:
        for name, answer in run.baselines.items():
            baselines.setdefault(name, {}).update(answer.values)
    leaks = {run.path: _leaks(run, by_name.get(path, {}), models) for path, run in known.items()}
    leaking = [cases_in(leak for run in model.runs for leak in leaks[run.path]) for model in models]
    evidence = Evidence(
        models=models,
        comparisons=tuple(
            _compare(model, models, taught_by) for model in models if model.role == "distilled"
        ),
        baselines={name: Scores(values) for name, values in baselines.items()},
        cases=clean(_shared(models), leaking),
        missing_teachers=missing,
        leaks=leaks,
        members=_members(runs, by_name),
    )
    return replace(evidence, comparisons=tuple(_best_first(c, evidence) for c in evidence.comparisons))


def shared_cases(scores: Iterable[Scores]) -> tuple[str, ...]:
    """The cases that all of these have, in order of name."""
    lists = [set(one.cases) for one in scores]
    return tuple(sorted(set.intersection(*lists))) if lists else ()


def _shared(models: Iterable[Model]) -> tuple[str, ...]:
    """The cases that all models which were evaluated have scores of."""
    lists = [set(model.cases) for model in models if model.evaluated]
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
) -> tuple[dict[str, list[RunRecord]], list[Missing]]:
    """The runs that taught `run`, by teacher (added to `known` where they were not given), and who is no run here."""
    found: dict[str, list[RunRecord]] = {}
    lost: dict[Missing, None] = {}
    for name in run.teachers:
        for place in run.places(name):
            folder = run_folder(run, place)
            if folder is not None and folder not in known:
                teacher = read_run(folder)
                if not datasets or not teacher.dataset or teacher.dataset in datasets:
                    known[folder] = teacher
            if folder in known:
                found.setdefault(name, []).append(known[folder])
            else:
                told = f"{name} ({Path(place).name})" if len(set(run.places(name))) > 1 else name
                lost[Missing(told, origin(run, name, place), name in run.taught_on)] = None
    return found, list(lost)


def _leaks(
    run: RunRecord, teachers: Mapping[str, list[RunRecord]], models: Sequence[Model]
) -> tuple[Leak, ...]:
    """The leaks of a run; a teacher that is one run here is called as in the tables, any other by what it is."""
    found = []
    for name, cases in learnt_cases(run, teachers).items():
        group, folders = run.groups.get(name), teachers.get(name, [])
        if group is not None:
            lie_in = "" if folders else origin(run, name, group.places[0])
            told = f"{len(group.places)} models" + (f" from {lie_in}" if lie_in else "")
            found.append(Leak(f"{name} ({told})", cases, out_of_fold=group.out_of_fold))
        elif short := next((model.short for model in models if folders and folders[0] in model.runs), ""):
            found.append(Leak(short, cases, has_row=True))
        else:
            told = f"{name} ({origin(run, name, run.teachers.get(name, '')) or 'not found'})"
            found.append(Leak(told, cases))
    return tuple(found)


def _members(
    runs: Sequence[RunRecord], by_name: Mapping[Path, Mapping[str, list[RunRecord]]]
) -> frozenset[Path]:
    together, apart = set[Path](), set[Path]()
    for run in runs:
        for name, teachers in by_name.get(run.path.resolve(), {}).items():
            (together if name in run.groups else apart).update(one.path.resolve() for one in teachers)
    return frozenset(together - apart)


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
