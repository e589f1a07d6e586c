"""Scored cases that a run's teachers had learnt from: what a student scores on them is no evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from segdistill.report.run_folder import RunRecord

MARK = "\u2020"
LEGEND = f"{MARK}\u00a0Over cases that a teacher had learnt from: no evidence."


@dataclass(frozen=True)
class Leak:
    """A teacher and the scored cases of its students that it had learnt from."""

    teacher: str  # as the report calls it
    cases: tuple[str, ...]
    has_row: bool = False  # in the tables, under that name
    out_of_fold: bool = (
        False  # it is several models, and each case was taught by those that had not learnt from it
    )


def learnt_cases(run: RunRecord, teachers: Mapping[str, Sequence[RunRecord]]) -> dict[str, tuple[str, ...]]:
    """By teacher, the scored cases of a run that it had learnt from; without teachers that had learnt from none.

    Where a run does not say what its teachers had learnt from, their splits do. One that is scored on its own training
    cases says so itself (`split`), and is not said to leak on top. Scores of other cases are none of a run's.

    Args:
        teachers: by name, those whose run folders were found.
    """
    if run.scores is None or run.strangers or run.split == "train":
        return {}
    scored, found = set(run.scores.cases), {}
    for name in {**run.teachers, **run.taught_on}:
        learnt = run.taught_on.get(name)
        if learnt is None:
            told = [one for one in teachers.get(name, ()) if one.split != "train"]
            learnt = tuple(case for one in told for case in one.splits.get("train", ()))
        if cases := scored & set(learnt):
            found[name] = tuple(sorted(cases))
    return found


def merged(leaks: Iterable[Leak]) -> tuple[Leak, ...]:
    """Each teacher once, with all its cases."""
    found: dict[str, Leak] = {}
    for leak in leaks:
        before = found.get(leak.teacher, leak)
        found[leak.teacher] = replace(before, cases=tuple(sorted({*before.cases, *leak.cases})))
    return tuple(found.values())


def cases_in(leaks: Iterable[Leak]) -> frozenset[str]:
    """The cases that any teacher had learnt from."""
    return frozenset(case for leak in leaks for case in leak.cases)


def clean(cases: Iterable[str], leaking: Iterable[Set[str]]) -> tuple[str, ...]:
    """The cases that are evidence of every model; a model of which none is evidence does not count.

    Args:
        leaking: of each model the cases that are none.
    """
    cases = tuple(cases)
    dropped = {case for those in leaking if not set(cases) <= those for case in those}
    return tuple(case for case in cases if case not in dropped)


def legend(marked: Iterable[bool]) -> str:
    """What the mark means, with a space before it, where any figure carries it; else nothing."""
    return f" {LEGEND}" if any(marked) else ""


def note(marked: Iterable[bool]) -> tuple[str, ...]:
    """What the mark means, as a note below a table where any figure in it carries it; else none."""
    return (LEGEND,) if any(marked) else ()
