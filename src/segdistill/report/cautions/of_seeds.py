"""Checks of how often each model was trained, and of how far its repetitions agree."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from segdistill.report.cautions.caution import Caution
from segdistill.report.comparisons import ALONE, LEVEL, comparisons
from segdistill.report.evidence import Evidence
from segdistill.report.missed import missed
from segdistill.report.words import fixed, listing, p_value, points


def one_seed(evidence: Evidence) -> Iterator[Caution]:
    """Students of which no spread over seeds is known."""
    once = [
        m
        for m in evidence.models
        if m.role != "teacher" and m.evaluated and len({r.seed for r in m.evaluated}) == 1
    ]
    if once:
        folds = " in each fold" if any(len(m.evaluated) > 1 for m in once) else ""
        text = (
            f"{listing([m.short for m in once])} ran with one seed only{folds}. The interval and the p-values are over "
            "cases; how much another seed would change the result is unknown. Three seeds are a fair start."
        )
        yield Caution("note", "One seed", text)


def missed_class(evidence: Evidence) -> Iterator[Caution]:
    """Runs that hardly find a class which most others find: their model's mean over seeds is of two kinds of runs."""
    classes = list(missed(evidence))
    if not classes:
        return
    told = [
        f"\u201c{one.name}\u201d by "
        + listing(
            [f"{run.name} ({model.short}, {fixed(points(dice))})" for model, run, dice in one.runs],
            len(one.runs),
        )
        + f", where the median of all runs has a Dice of {fixed(points(one.usual))}"
        for one in classes
    ]
    text = (
        f"Hardly found is {'; '.join(told)}. A mean over seeds that holds such a run says little about the others: "
        "look at the training curves. More steps may mend it; so may a weight of the term that rises from 0, "
        "classes that count alike (where: balanced in the term) and, of a softened response, temperature 1."
    )
    yield Caution("serious", "Class not learnt", text)


def seeds_disagree(evidence: Evidence) -> Iterator[Caution]:
    """Gains and losses, shown over cases, that another seed may turn around."""
    split, doubtful = [], []
    for one in comparisons(evidence):
        again = one.repeated
        if one.question != ALONE or one.outcome not in ("gain", "loss") or again is None:
            continue
        if not again.unanimous:
            split.append(f"{one.student.short} ({again.agreeing} of {again.n} {one.student.over})")
        elif again.p is not None and again.p >= LEVEL:
            doubtful.append(f"{one.student.short} ({p_value(again.p)})")
    if split:
        text = (
            f"Not all repetitions of {', '.join(split)} differ from the same student alone in the same "
            "direction. What is said of them holds for these runs; train more seeds before it is said of the method."
        )
        yield Caution("serious", "Seeds disagree", text)
    if doubtful:
        text = (
            f"Intervals and p-values are over cases. Tested over seeds, the difference of "
            f"{', '.join(doubtful)} to the same student alone is not settled: all seeds agree, but they are few or far "
            "apart."
        )
        yield Caution("note", "Not settled over seeds", text)


def several_comparisons(evidence: Evidence) -> Iterator[Caution]:
    """The best of many is partly lucky."""
    if len(evidence.comparisons) > 1:
        text = (
            "Several students are tested here. Gains and losses are judged by p-values that are adjusted for that "
            "(Holm), but the best of them still owes a part of its difference to having been chosen as the best."
        )
        yield Caution("note", "Several comparisons", text)


def twin_runs(evidence: Evidence) -> Iterator[Caution]:
    """Repetitions that are none."""
    for model in evidence.models:
        for one, other in combinations(model.runs, 2):
            if (one.seed, one.fold) == (other.seed, other.fold):
                text = f"{one.name} and {other.name} have the same recipe, fold and seed; the spread is too small."
                yield Caution("note", "Same seed twice", text)
