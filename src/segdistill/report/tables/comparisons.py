"""Every comparison with what tests say of it."""

from __future__ import annotations

from segdistill.report.comparisons import QUESTIONS, Compared, comparisons
from segdistill.report.evidence import Evidence
from segdistill.report.leaks import MARK, note
from segdistill.report.tables.table import Cell, Column, Group, Row, Table
from segdistill.report.words import NONE, fixed, p_value, points, signed

OUTCOMES = {"gain": "gain", "loss": "loss", "open": "not settled", "leak": "no evidence"}


def tabulate(evidence: Evidence) -> Table | None:
    """A row a comparison, a group a family; None where no two can be compared."""
    every = [one for one in comparisons(evidence) if one.test.difference is not None]
    if not every:
        return None
    head = evidence.headline.student if evidence.headline else None
    columns = (
        Column("Comparison", numeric=False),
        Column("Difference"),
        Column("95 % CI"),
        Column("t-test p"),
        Column("Wilcoxon p"),
        Column("Holm p"),
        Column("Effect size d"),
        Column("Cases"),
        Column("Runs"),
        Column("Runs agreeing"),
        Column("Seeds p"),
    )
    groups = []
    for question, title in QUESTIONS.items():
        family = [one for one in every if one.question == question]
        if family:
            size = family[0].family
            told = f"{title} ({size} test{'s' if size != 1 else ''} in the family)"
            groups.append(Group(told, tuple(Row(_cells(one), one.student is head) for one in family)))
    return Table(
        columns,
        tuple(groups),
        (
            "In Dice points, paired by case with seeds averaged first; bootstrap interval (BCa), two-sided tests. "
            "Holm p: the t-test\u2019s p-value (the signed-rank test\u2019s where that is undefined), adjusted for the "
            "family. A gain or a loss is one with a Holm p below 0.05 and an interval that leaves out 0. d: "
            "Cohen\u2019s d, the mean of the differences over their standard deviation. Runs: 3 : 1 is three of the "
            "student and one of the other; agreeing: how many of the student\u2019s seeds or folds have a difference "
            "of the sign of the whole. Seeds p: of a t-test over seeds, paired by seed, where both were trained three "
            "times or more. It says what training again may change, the others what other cases may; of three it "
            "settles little.",
            *note(one.tainted for one in every),
        ),
    )


def _cells(one: Compared) -> tuple[Cell, ...]:
    test = one.test
    low, high = test.interval or (None, None)
    interval = NONE if low is None else f"{fixed(points(low))} to {fixed(points(high))}"
    seeds = str(len(one.student.evaluated))
    others = len(one.other.evaluated) if one.other else None
    if others is not None and str(others) != seeds:
        seeds = f"{seeds} : {others}"
    again = one.repeated
    return (
        Cell(f"{one.student.short} against {one.name}{MARK * one.tainted}", OUTCOMES[one.outcome]),
        Cell(signed(points(test.difference)), key=points(test.difference)),
        Cell(interval, key=points(low)),
        *(_p(p) for p in (test.t_p, test.wilcoxon_p, one.adjusted)),
        Cell(fixed(test.effect, 2), key=test.effect),
        Cell(str(test.n), key=test.n),
        Cell(seeds, key=len(one.student.evaluated)),
        Cell(
            f"{again.agreeing} of {again.n}" if again else NONE,
            key=again.agreeing / again.n if again else None,
        ),
        _p(again.p if again else None),
    )


def _p(p: float | None) -> Cell:
    return Cell(NONE if p is None else p_value(p).removeprefix("p ").removeprefix("= "), key=p)
