"""What the runs are evidence of: models, of which each has its seeds, and the comparison of each student."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from segdistill.evaluation.statistics import average_seeds
from segdistill.report.leaks import Leak, cases_in, merged
from segdistill.report.run_cost import Cost
from segdistill.report.run_folder import RunRecord
from segdistill.report.scores import Chosen, Scores, mean, shared_cases, spread


@dataclass(frozen=True)
class Model:
    """Runs that differ only by seed, or by fold. `short` is its name in figures: T1, S1, "S1 teach_former"."""

    role: str  # teacher | alone | distilled
    short: str
    runs: tuple[RunRecord, ...]
    variant: str = ""  # what tells it from others of its network and method; part of `short`

    @property
    def run(self) -> RunRecord:
        """The run that stands for all where one is needed (overlays, cost): the first that was evaluated."""
        return next(iter(self.evaluated), self.runs[0])

    @property
    def network(self) -> str:
        return self.run.network

    @property
    def method(self) -> str:
        return self.run.method

    @property
    def cost(self) -> Cost | None:
        return next((run.cost for run in self.runs if run.cost), None)

    @cached_property
    def evaluated(self) -> tuple[RunRecord, ...]:
        """Those with scores, but for scores of cases that are none of their own."""
        return tuple(run for run in self.runs if run.scores and not run.strangers)

    @property
    def cases(self) -> tuple[str, ...]:
        """The cases that every evaluated run of this model has scores of; of cross-validation, those of all folds."""
        found: set[str] = set()
        for part in {run.part for run in self.evaluated}:
            found.update(
                shared_cases(run.scores for run in self.evaluated if run.scores and run.part == part)
            )
        return tuple(sorted(found))

    @property
    def rounds(self) -> tuple[tuple[RunRecord, ...], ...]:
        """Evaluated runs that score all cases once: each by itself, but of cross-validation the folds of one seed."""
        found: dict[object, list[RunRecord]] = {}
        for number, run in enumerate(self.evaluated):
            found.setdefault(("seed", run.seed) if run.part is not None else number, []).append(run)
        return tuple(map(tuple, found.values()))

    @property
    def repetitions(self) -> tuple[tuple[RunRecord, ...], ...]:
        """What the spread is over: its rounds; of cross-validation with one seed, the folds."""
        return self.rounds if len(self.rounds) > 1 else tuple((run,) for run in self.evaluated)

    @property
    def over(self) -> str:
        """What its repetitions differ by, in words."""
        apart = {run.part for run in self.evaluated} == {None} or len(self.rounds) < 2
        folds = apart and len({run.fold for run in self.evaluated}) > 1
        seeds = len({run.seed for run in self.evaluated}) > 1
        return "folds and seeds" if folds and seeds else "folds" if folds else "seeds"

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
        runs = [run for run in self.evaluated if other.part is None or run.part in (None, other.part)]
        return {case for run in runs if run.scores for case in run.scores.cases} & set(self.cases)

    def by_case(self, metric: str, cases: Sequence[str], name: Chosen = None) -> dict[str, float | None]:
        """One value a case (None: undefined), the seeds averaged first."""
        scores = [run.scores for run in self.evaluated if run.scores]
        return average_seeds([{case: one.of(case, metric, name) for case in cases} for one in scores])

    def by_seed(self, metric: str, cases: Sequence[str], name: Chosen = None) -> list[float]:
        """One mean over the cases for each of its repetitions: seeds, or folds."""
        return [
            mean([run.scores.of(case, metric, name) for run in runs if run.scores for case in cases])
            for runs in self.repetitions
        ]

    def mean(self, metric: str, cases: Sequence[str], name: Chosen = None) -> float:
        return mean(list(self.by_case(metric, cases, name).values()))

    def spread(self, metric: str, cases: Sequence[str], name: Chosen = None) -> float | None:
        """The standard deviation over its repetitions; None with one."""
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
    missing_teachers: Mapping[Path, tuple[Missing, ...]]  # path of a run -> teachers that are no run folder
    leaks: Mapping[Path, tuple[Leak, ...]] = field(default_factory=dict)  # by the path of a run
    absent: frozenset[tuple[str, str]] = (
        frozenset()
    )  # cases and classes that are not there and that some runs see
    members: frozenset[Path] = frozenset()  # runs that taught only together with others, as one teacher

    def of(self, role: str) -> tuple[Model, ...]:
        return tuple(model for model in self.models if model.role == role)

    @property
    def runs(self) -> tuple[RunRecord, ...]:
        return tuple(run for model in self.models for run in model.runs)

    @property
    def evaluated(self) -> tuple[RunRecord, ...]:
        """The runs whose scores count."""
        return tuple(run for model in self.models for run in model.evaluated)

    @property
    def classes(self) -> tuple[str, ...]:
        return next((run.classes for run in self.evaluated if run.classes), ())

    @property
    def tolerance(self) -> float | None:
        """In mm, of NSD."""
        return next((run.tolerance for run in self.evaluated if run.tolerance is not None), None)

    @property
    def over(self) -> str:
        """What a spread is over, in words: seeds, folds, ..."""
        return " or ".join(sorted({m.over for m in self.models if len(m.repetitions) > 1})) or "seeds"

    @property
    def splits(self) -> Mapping[str, tuple[str, ...]]:
        """The evaluated runs' names by the split that they were scored on: test, validation or train."""
        found: dict[str, tuple[str, ...]] = {}
        for run in self.evaluated:
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

    def missing_of(self, model: Model) -> tuple[Missing, ...]:
        """The teachers of a model's runs that are no run folder, each once."""
        every = (one for run in model.runs for one in self.missing_teachers.get(run.path, ()))
        return tuple(dict.fromkeys(every))

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
        shared = shared_by(models)
        cases, leaking = self.cases or shared, self.leaking(*models)
        return tuple(case for case in cases if case not in leaking) or cases

    def tainted(self, *models: Model) -> bool:
        """Whether a teacher had learnt from every case that these models are compared on: no evidence, then."""
        return not self.leaking(*models).isdisjoint(self.cases_of(*models))

    def left_out(self, *models: Model) -> tuple[str, ...]:
        """Cases that these models have scores of, left out because a teacher had learnt from them."""
        shared = shared_by(models)
        dropped = self.leaking(*self.models) - set(self.cases_of(*models))
        return tuple(case for case in shared if case in dropped)

    def rank(self, model: Model) -> tuple[bool, float]:
        """To put students in order, the last first: those whose figures are evidence, then by Dice."""
        return not self.tainted(model), self.dice(model)

    def dice(self, model: Model) -> float:
        """The mean Dice of a model, to put models in order; -1 where it has none."""
        value = model.mean("dice", self.cases_of(model))
        return -1.0 if math.isnan(value) else value


def shared_by(models: Iterable[Model]) -> tuple[str, ...]:
    """The cases that all models which were evaluated have scores of."""
    lists = [set(model.cases) for model in models if model.evaluated]
    return tuple(sorted(set.intersection(*lists))) if lists else ()
