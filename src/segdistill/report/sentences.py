"""The sentences and half-sentences that a verdict is made of."""

from __future__ import annotations

from segdistill.evaluation.statistics import Paired
from segdistill.report.comparisons import LEVEL, TRIVIAL, Compared, best_trivial, find, outcome
from segdistill.report.evidence import Evidence, Model
from segdistill.report.words import BASELINES, count, fixed, listing, p_value, points, signed, times

LEAST_SAVED = 1.05  # times less; below that it is "1.0 x fewer"
ALONE = "the same student trained alone"


def against_alone(name: str, one: Compared, student: Model, alone: Model, noun: tuple[str, str]) -> str:
    """What a student gains over the same student alone, loses to it, or that neither is shown."""
    test = one.test
    difference = points(test.difference)
    if difference is None:
        return f"{name} {_nothing_shared(test, ALONE)}, so the two cannot be compared"
    size = fixed(abs(difference), 1 if abs(difference) >= 0.05 else 2)
    facts = _facts(one, student, alone, noun)
    match one.outcome:
        case "gain":
            return f"{name} gains {size} Dice points over the same student trained alone ({facts})"
        case "loss":
            return f"{name} loses {size} Dice points to the same student trained alone ({facts})"
    direction = "more" if difference >= 0 else "less"
    told = _doubt(one)
    return (
        f"No gain is shown: {name.replace('The ', 'the ', 1)} scores {size} Dice points {direction} than the "
        f"same student trained alone, and {told} ({facts})"
    )


def without_judging(name: str, test: Paired, student: Model, alone: Model, noun: tuple[str, str]) -> str:
    """How far a student is from the same student alone, where that is no evidence."""
    difference = points(test.difference)
    if difference is None:
        return f"{name} {_nothing_shared(test, ALONE)}"
    direction = "more" if difference >= 0 else "less"
    facts = f"{count(test.n, *noun)}, {_seeds(student, alone)}"
    return (
        f"{name} scores {fixed(abs(difference))} Dice points {direction} than the same student trained alone there "
        f"({facts})"
    )


def against_teacher(one: Compared, student: Model, teacher: Model, tainted: bool) -> str:
    """What is lost to the best teacher, and at how much less; begins with "it"."""
    difference = points(one.test.difference)
    if difference is None:
        return f"it {_nothing_shared(one.test, f'its best teacher ({teacher.short}, {teacher.network})')}"
    size, judged = fixed(abs(difference)), not tainted and one.outcome != "open"
    said = f"scores {size} {'less' if difference < 0 else 'more'} than"
    if judged:
        said = f"loses {size} to" if difference < 0 else f"gains {size} over"
    if size == fixed(0):
        said = "equals"
    sentence = f"it {said} the best teacher ({teacher.short}, {teacher.network})"
    fewer = times_less(teacher, student, "parameters")
    if fewer:
        sentence += f" at {fewer} fewer parameters"
    return sentence if tainted or judged else f"{sentence} ({_doubt(one)})"


def more_on(one: Compared) -> list[str]:
    """The other test, the size of the effect, and what the p-value was adjusted for."""
    test, told = one.test, []
    if test.t_p is not None and test.wilcoxon_p is not None:
        more = f"Wilcoxon signed-rank test {p_value(test.wilcoxon_p)}"
        if test.effect is not None:
            more += f"; effect size (Cohen's d of the paired differences) {fixed(test.effect, 2)}"
        told.append(f"{more}. Cases are the unit: seeds are averaged within each case first.")
    if one.family > 1 and one.adjusted is not None and not one.settled_by_itself:
        told.append(
            f"Gains and losses are judged by p-values that Holm\u2019s correction adjusts for the {one.family} "
            f"students compared: {p_value(one.adjusted)} here."
        )
    return told


def against_trivial(student: Model, evidence: Evidence, brief: bool = False) -> list[str]:
    """What an answer that looks at no image scores on the same cases, and whether the student beats it."""
    best, one = best_trivial(student, evidence), find(evidence, TRIVIAL, student)
    if best is None:
        return []
    name, result = best
    judged_as = outcome(result, one.adjusted if one else None)
    said = f"An answer that looks at no image ({BASELINES.get(name, name)}) scores {fixed(points(result.mean_b))}"
    if judged_as == "gain":
        return [] if brief else [f"{said}, {fixed(points(result.difference))} points less than this student."]
    judged = "worse than that" if judged_as == "loss" else "not shown to be better than that"
    if result.interval is not None:
        low, high = (signed(points(end)) for end in result.interval)
        judged += f" ({signed(points(result.difference))} points, 95 % CI {low} to {high}"
        doubt = _doubt(one) if one else _doubt_by_itself(result)
        judged += ")" if judged_as == "loss" else f"; {doubt})"
    return [f"{said}; this student is {judged}."]


def left_out(evidence: Evidence, student: Model) -> list[str]:
    """Which cases do not count, and because of whom."""
    cases = evidence.left_out(student)
    if not cases:
        return []
    who = [leak.teacher for leak in evidence.leaks_of(*evidence.models) if {*leak.cases} & {*cases}]
    which = f"{count(len(cases), 'scored case is', 'scored cases are')} left out ({listing(cases)})"
    them = "it" if len(cases) == 1 else "them"
    return [
        f"{which}: {'teacher' if len(who) == 1 else 'teachers'} {listing(who)} had learnt from {them}, so what a "
        "student scores there is no evidence."
    ]


def who_had_learnt(evidence: Evidence, student: Model) -> str:
    """Says that teacher T1 had learnt from all 8 test cases."""
    leaks = evidence.leaks_of(student)
    names = listing([leak.teacher for leak in leaks])
    number = len(evidence.cases_of(student))
    cases = f"all {count(number, evidence.noun)}" if number > 1 else f"the {evidence.noun}"
    return f"{'teacher' if len(leaks) == 1 else 'teachers'} {names} had learnt from {cases}"


def noun_of(evidence: Evidence, *models: Model) -> tuple[str, str]:
    """What the compared cases are, one and several."""
    only = " that no teacher had learnt from" if evidence.left_out(*models) else ""
    return f"{evidence.noun}{only}", f"{evidence.noun}s{only}"


def _nothing_shared(test: Paired, whom: str) -> str:
    """Why there is no difference to tell: no case of both, or none in which both have a Dice."""
    if not test.left_out:
        return f"shares no case with {whom}"
    shared = count(len(test.left_out), "case")
    return f"shares {shared} with {whom}, but in none of them is a Dice defined for both"


def _facts(one: Compared, student: Model, alone: Model, noun: tuple[str, str]) -> str:
    test, parts = one.test, []
    if test.interval:
        low, high = test.interval
        parts.append(f"{100 * test.confidence:.0f} % CI {fixed(points(low))} to {fixed(points(high))}")
    if test.t_p is not None:
        parts.append(f"paired t-test {p_value(test.t_p)}")
    elif test.wilcoxon_p is not None:
        parts.append(f"Wilcoxon {p_value(test.wilcoxon_p)}")
    if one.settled_by_itself and one.adjusted is not None:
        parts.append(f"with Holm\u2019s correction {p_value(one.adjusted)}")
    parts += [count(test.n, *noun), _seeds(student, alone)]
    again = one.repeated
    if again and one.outcome != "open":
        if not again.unanimous:
            parts.append(f"{again.agreeing} of {again.n} agreeing")
        if again.p is not None and again.p >= LEVEL:
            parts.append(f"over seeds {p_value(again.p)}")
    return ", ".join(parts)


def _seeds(student: Model, alone: Model) -> str:
    one, other = student.repeats, alone.repeats
    if one == other:
        return one
    return f"{one} against {other}" if "fold" in one + other else f"{one} against {len(alone.evaluated)}"


def _doubt(one: Compared) -> str:
    """Why a difference is neither a gain nor a loss."""
    if one.settled_by_itself:
        return f"among {one.family} comparisons chance alone may explain it"
    return _doubt_by_itself(one.test)


def _doubt_by_itself(test: Paired) -> str:
    if not test.interval:
        return "these are too few cases for a test"
    if test.interval[0] > 0 or test.interval[1] < 0:
        return "interval and test disagree on whether chance alone explains it"
    return "chance alone may explain it"


def times_less(teacher: Model, student: Model, what: str) -> str | None:
    """How much less the student needs; MACs and times only where both were measured on the same input."""
    if teacher.cost is None or student.cost is None:
        return None
    if what != "parameters" and teacher.cost.input != student.cost.input:
        return None
    large, small = getattr(teacher.cost, what), getattr(student.cost, what)
    return times(large, small) if large and small and large >= LEAST_SAVED * small else None
