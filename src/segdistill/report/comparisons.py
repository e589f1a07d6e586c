"""Every comparison of a report, in families: tests that ask one question of several students are judged together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from segdistill.evaluation.family import holm
from segdistill.evaluation.repetitions import FEWEST, Repetitions, repetitions
from segdistill.evaluation.statistics import Paired, average_seeds, paired
from segdistill.report.evidence import Comparison, Evidence, Model
from segdistill.report.run_folder import RunRecord
from segdistill.report.scores import mean
from segdistill.report.words import BASELINES

LEVEL = 0.05  # of the adjusted p-value; the 95 % interval has to leave out 0 as well

ALONE, TEACHER, TRIVIAL = "alone", "teacher", "trivial"
QUESTIONS = {
    ALONE: "Against the same student alone",
    TEACHER: "Against the best teacher",
    TRIVIAL: "Against an answer that looks at no image",
}


@dataclass(frozen=True, eq=False)
class Compared:
    """A distilled student beside something else. One question is asked of all students: that is the family.

    `adjusted` is the p-value after Holm's correction for the `family` tests with one; None where there is none, or
    where a teacher had learnt from all cases (`tainted`), since that is no evidence and is not judged. `repeated` says
    whether the student's runs agree; None with one run.
    """

    question: str
    student: Model
    other: Model | None  # None: an answer that looks at no image
    name: str  # of `other`, in figures and tables
    test: Paired
    tainted: bool
    repeated: Repetitions | None = None
    adjusted: float | None = None
    family: int = 1

    @property
    def outcome(self) -> str:
        """gain, loss or open, by the adjusted p-value; leak where it is no evidence."""
        return "leak" if self.tainted else outcome(self.test, self.adjusted)

    @property
    def settled_by_itself(self) -> bool:
        """Whether only the correction keeps this from being called a gain or a loss."""
        return self.outcome == "open" and outcome(self.test) != "open"


def compare(one: Model, other: Model, evidence: Evidence, metric: str = "dice") -> Paired:
    """The paired comparison of two models over cases and the classes that both know, seeds averaged first."""
    cases, classes = evidence.cases_of(one, other), shared_classes(one, other)
    return paired(one.by_case(metric, cases, classes), other.by_case(metric, cases, classes))


def shared_classes(one: Model, other: Model) -> tuple[str, ...] | None:
    """The classes that both were scored on; None where they are the same."""
    first, second = one.run.classes, other.run.classes
    return None if set(first) == set(second) else tuple(name for name in first if name in second)


def repeated(one: Model, other: Model, evidence: Evidence, metric: str = "dice") -> Repetitions | None:
    """Each repetition of a model beside the other's runs of its seeds and folds, or of its folds; None with one.

    Tested where both were repeated often enough: with one run on the other side all differences share its luck, and
    folds share their training cases.
    """
    cases, classes = evidence.cases_of(one, other), shared_classes(one, other)
    differences = []
    for runs in one.repetitions:
        own, against = (
            average_seeds(
                [{case: run.scores.of(case, metric, classes) for case in cases} for run in each if run.scores]
            )
            for each in (runs, _beside(runs, other))
        )
        pairs = ((own[case], against.get(case)) for case in own)
        found = mean([a - b for a, b in pairs if a is not None and b is not None])
        differences += [found] if found == found else []
    tested = one.over == "seeds" and min(len(one.repetitions), len(other.repetitions)) >= FEWEST
    if len(differences) < 2:
        return None
    every = [model.by_case(metric, cases, classes) for model in (one, other)]
    both = [(every[0][case], every[1][case]) for case in cases]
    whole = mean([a - b for a, b in both if a is not None and b is not None])
    return repetitions(differences, whole=whole, tested=tested)


def _beside(runs: Sequence[RunRecord], other: Model) -> list[RunRecord]:
    """The runs of another model that go with these: of the same seeds and folds, else of the same part of the cases."""
    wanted = {(run.fold, run.seed) for run in runs}
    alike = [run for run in other.evaluated if (run.fold, run.seed) in wanted]
    parts = {run.part for run in runs}
    return alike or [run for run in other.evaluated if run.part is None or run.part in parts]


def outcome(result: Paired, adjusted: float | None = None) -> str:
    """gain or loss where interval and test agree that the difference is not 0; else open.

    Args:
        adjusted: the p-value to judge by; None: that of the test by itself.
    """
    p = judging_p(result) if adjusted is None else adjusted
    if result.interval is None or p is None or p >= LEVEL:
        return "open"
    low, high = result.interval
    return "gain" if low > 0 else "loss" if high < 0 else "open"


def judging_p(result: Paired) -> float | None:
    """That of the t-test; where that is undefined (all differences are the same number), of the signed-rank test."""
    return result.wilcoxon_p if result.t_p is None else result.t_p


@lru_cache(maxsize=2)
def comparisons(evidence: Evidence) -> tuple[Compared, ...]:
    """Question by question, those of all students that were evaluated, the best student first."""
    judged = [one for one in evidence.comparisons if one.student.evaluated]
    judged.sort(key=lambda one: evidence.rank(one.student), reverse=True)
    found: list[Compared] = []
    for question in QUESTIONS:
        family = [made for one in judged if (made := _compared(question, one, evidence)) is not None]
        adjusted = holm([None if one.tainted else judging_p(one.test) for one in family])
        size = sum(p is not None for p in adjusted)
        found += [replace(one, adjusted=p, family=size) for one, p in zip(family, adjusted, strict=True)]
    return tuple(found)


def find(evidence: Evidence, question: str, student: Model) -> Compared | None:
    """The comparison that asks this of a student, if there is one."""
    every = (one for one in comparisons(evidence) if one.question == question and one.student is student)
    return next(every, None)


def best_trivial(model: Model, evidence: Evidence) -> tuple[str, Paired] | None:
    """The best of the answers that look at no image, on the cases of a model, and the model against it."""
    cases = evidence.cases_of(model)
    best: tuple[str, Paired] | None = None
    for name, scores in evidence.baselines.items():
        result = paired(model.by_case("dice", cases), {case: scores.of(case, "dice") for case in cases})
        if result.mean_b is not None and (best is None or result.mean_b > (best[1].mean_b or 0.0)):
            best = name, result
    return best


def _compared(question: str, one: Comparison, evidence: Evidence) -> Compared | None:
    student = one.student
    if question == TRIVIAL:
        best = best_trivial(student, evidence)
        if best is None:
            return None
        name = BASELINES.get(best[0], best[0])
        return Compared(question, student, None, name, best[1], evidence.tainted(student))
    other = one.alone if question == ALONE else next((t for t in one.teachers if t.evaluated), None)
    if other is None or not other.evaluated:
        return None
    name = f"{other.short} alone" if question == ALONE else f"best teacher {other.short}"
    tainted = evidence.tainted(student, other)
    test = compare(student, other, evidence)
    return Compared(question, student, other, name, test, tainted, repeated(student, other, evidence))
