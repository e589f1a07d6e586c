"""The students that are drawn one by one: the best, and those with a run that hardly finds a class."""

from __future__ import annotations

from collections.abc import Sequence

from segdistill.report.evidence import Comparison, Evidence
from segdistill.report.missed import missed
from segdistill.report.words import listing

MOST, IN_WORDS = 6, "six"


def one_by_one(evidence: Evidence, among: Sequence[Comparison]) -> tuple[list[Comparison], str]:
    """Those to draw, the best first, and a sentence that says which of how many they are.

    The warning of a class that was not learnt sends its reader to these figures, so a student that it names is drawn
    however it ranks; a student alone that it names is seen beside the best that was distilled from the same network.
    The sentence begins with a space; it is empty where all are drawn.
    """
    ranked = sorted(among, key=lambda one: evidence.dice(one.student), reverse=True)
    named = {id(model) for each in missed(evidence) for model, *_ in each.runs}
    drawn = ranked[:MOST]
    more: list[Comparison] = []
    for one in ranked[MOST:]:
        beside = {id(each.alone) for each in (*drawn, *more)}
        if id(one.student) in named or id(one.alone) in named - beside:
            more.append(one)
    if len(drawn) == len(ranked):
        return drawn, ""
    said = f" Drawn are the best {IN_WORDS} of {len(ranked)} students"
    if more:
        names = listing([one.student.short for one in more], len(more))
        said += f", and of the others those with a run that hardly finds a class ({names})"
    return [*drawn, *more], f"{said}."
