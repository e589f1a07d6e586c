"""Checks of how often each model was trained, and of how far its repetitions agree."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from statistics import median

from segdistill.report.cautions.caution import Caution
from segdistill.report.comparisons import ALONE, LEVEL, comparisons
from segdistill.report.evidence import Evidence
from segdistill.report.scores import mean
from segdistill.report.words import fixed, listing, p_value, points

MISSED = 0.5  # of the median Dice of all runs in the class


def one_seed(evidence: Evidence) -> Iterator[Caution]:
    """Students of which no spread over seeds is known."""
    single = [m.short for m in evidence.models if m.role != "teacher" and len(m.evaluated) == 1]
    if single:
        text = (
            f"{listing(single)} ran with one seed only. The interval and the p-values are over cases; how "
            "much another seed would change the result is unknown. Three seeds are a fair start."
        )
        yield Caution("note", "One seed", text)


def missed_class(evidence: Evidence) -> Iterator[Caution]:
    """Runs that hardly find a class which most others find: their model's mean over seeds is of two kinds of runs."""
    for name in evidence.classes:
        found = {
            (model.short, run.name): mean(
                [run.scores.of(case, "dice", name) for case in evidence.cases_of(model)]
            )
            for model in evidence.models
            for run in model.evaluated
            if run.scores
        }
        known = [dice for dice in found.values() if dice == dice]
        usual = median(known) if known else 0.0
        missed = {key: dice for key, dice in found.items() if dice < MISSED * usual}
        if not missed:
            continue
        told = listing([f"{run} ({model}, {fixed(points(dice))})" for (model, run), dice in missed.items()])
        few = len(missed) == 1
        text = (
            f"{told} hardly find{'s' if few else ''} \u201c{name}\u201d, where the median of all runs has a Dice of "
            f"{fixed(points(usual))}. A mean over seeds that holds {'such a run' if few else 'such runs'} says little "
            "about the others: look at the training curves. More steps, a weight that rises from 0, or where: balanced "
            "may mend it; of a softened response also temperature 1."
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
            split.append(f"{one.student.short} ({again.agreeing} of {again.n})")
        elif again.p is not None and again.p >= LEVEL:
            doubtful.append(f"{one.student.short} ({p_value(again.p)})")
    if split:
        text = (
            f"Not all seeds of {listing(split)} differ from the same student alone in the same direction. What is said "
            "of them holds for these runs; train more seeds before it is said of the method."
        )
        yield Caution("serious", "Seeds disagree", text)
    if doubtful:
        text = (
            f"Intervals and p-values are over cases. Tested over seeds, the difference of {listing(doubtful)} to the "
            "same student alone is not settled: all seeds agree, but they are few or far apart."
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
                text = f"{one.name} and {other.name} have the same recipe and seed; the spread is too small."
                yield Caution("note", "Same seed twice", text)
