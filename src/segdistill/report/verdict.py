"""What the runs show, in words: first whether distillation gained anything, then what it costs."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from segdistill.evaluation.statistics import Paired
from segdistill.report import baseline
from segdistill.report.comparisons import ALONE, TEACHER, TRIVIAL, Compared, best_trivial, find, outcome
from segdistill.report.evidence import Comparison, Evidence, Model
from segdistill.report.leaks import MARK
from segdistill.report.words import BASELINES, count, fixed, listing, p_value, points, signed, times

LEAST_SAVED = 1.05  # times less; below that it is "1.0 x fewer"


@dataclass(frozen=True)
class Tile:
    """One large figure beside the words."""

    value: str
    caption: str
    tone: str = "plain"  # gain | loss | plain


@dataclass(frozen=True)
class Verdict:
    """On one distilled student: a sentence, what to add to it, and its figures."""

    outcome: str  # gain | loss | open (not settled) | unknown (nothing to compare with)
    sentence: str
    details: tuple[str, ...]
    command: str | None  # the command that makes what is missing
    tiles: tuple[Tile, ...]


def conclude(evidence: Evidence, out: Path) -> tuple[Verdict, ...]:
    """A verdict for each distilled student, the best first; one that says why where there is none.

    `out` is the report's folder, where recipes of baselines that are missing are written.
    """
    if not evidence.comparisons:
        return (_nothing_distilled(evidence),)
    ordered = sorted(evidence.comparisons, key=lambda c: evidence.rank(c.student), reverse=True)
    return tuple(
        judge(comparison, evidence, out, brief=number > 0) for number, comparison in enumerate(ordered)
    )


def judge(comparison: Comparison, evidence: Evidence, out: Path, brief: bool = False) -> Verdict:
    """The verdict on one distilled student; a brief one adds only what weakens it."""
    student = comparison.student
    name = _name(student, evidence)
    if not student.evaluated:
        folder = shlex.quote(str(student.run.path))
        sentence = f"{name} has no scores yet, so nothing can be concluded about it."
        return Verdict("unknown", sentence, (), f"segdistill evaluate {folder}", ())
    details: list[str] = []
    tiles: list[Tile] = []
    command = None
    compared = [m for m in (student, comparison.alone) if m is not None and m.evaluated]
    tainted = evidence.tainted(*compared)
    if comparison.alone is None or baseline.is_missing(comparison):
        result = "unknown"
        dice = fixed(points(evidence.dice(student)))
        first = (
            f"{name} reaches a Dice of {dice}; what distillation gained is unknown, because no run of the "
            "same network trained alone is among these runs"
        )
        command = baseline.commands(comparison, out)
    else:
        one = find(evidence, ALONE, student)
        assert one is not None  # the student alone has scores
        test, noun = one.test, _noun(evidence, student, comparison.alone)
        result = "unknown" if tainted else one.outcome
        if tainted:
            first = _without_judging(name, test, student, comparison.alone, noun)
        else:
            first = _against_alone(name, one, student, comparison.alone, noun)
        value = signed(points(test.difference)) + (MARK if tainted else "")
        tiles.append(Tile(value, "Dice points against the student alone", _tone(result)))
        details += [] if brief or tainted else _more_on(one)
        if comparison.differences:
            details.append(
                f"The two were not trained alike ({listing(comparison.differences, 3)}), so the difference "
                "is not due to distillation alone."
            )
    if tainted:
        first = f"No evidence: {_who_had_learnt(evidence, student)}; {first.replace('The ', 'the ', 1)}"
    against = find(evidence, TEACHER, student)
    second = ""
    if against is not None and against.other is not None:
        teacher = against.other
        second = "; " + _against_teacher(against, student, teacher, tainted)
        caption = f"Dice points against the best teacher, {teacher.short}"
        told = signed(points(against.test.difference))
        tile = Tile(told + MARK, caption) if tainted else Tile(told, caption, _tone(against.outcome))
        tiles += [tile, *_savings(student, teacher)]
    details = _left_out(evidence, student) + details + _trivial(student, evidence, brief or tainted)
    return Verdict(result, f"{first}{second}.", tuple(details), command, tuple(tiles))


def _who_had_learnt(evidence: Evidence, student: Model) -> str:
    """Says that teacher T1 had learnt from all 8 test cases."""
    leaks = evidence.leaks_of(student)
    names = listing([leak.teacher for leak in leaks])
    number = len(evidence.cases_of(student))
    cases = f"all {count(number, evidence.noun)}" if number > 1 else f"the {evidence.noun}"
    return f"{'teacher' if len(leaks) == 1 else 'teachers'} {names} had learnt from {cases}"


def _left_out(evidence: Evidence, student: Model) -> list[str]:
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


def _noun(evidence: Evidence, *models: Model) -> tuple[str, str]:
    """What the compared cases are, one and several."""
    only = " that no teacher had learnt from" if evidence.left_out(*models) else ""
    return f"{evidence.noun}{only}", f"{evidence.noun}s{only}"


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


def _without_judging(name: str, test: Paired, student: Model, alone: Model, noun: tuple[str, str]) -> str:
    difference = points(test.difference)
    if difference is None:
        return f"{name} shares no case with the same student trained alone"
    direction = "more" if difference >= 0 else "less"
    facts = f"{count(test.n, *noun)}, {_seeds(student, alone)}"
    return (
        f"{name} scores {fixed(abs(difference))} Dice points {direction} than the same student trained alone there "
        f"({facts})"
    )


def _against_alone(name: str, one: Compared, student: Model, alone: Model, noun: tuple[str, str]) -> str:
    test = one.test
    difference = points(test.difference)
    if difference is None:
        return f"{name} shares no case with the same student trained alone, so the two cannot be compared"
    size = fixed(abs(difference))
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


def _against_teacher(one: Compared, student: Model, teacher: Model, tainted: bool) -> str:
    difference = points(one.test.difference)
    if difference is None:
        return f"it shares no case with its best teacher ({teacher.short}, {teacher.network})"
    size = fixed(abs(difference))
    said = f"loses {size} to" if difference < 0 else f"gains {size} over"
    if tainted:
        said = f"scores {size} {'less' if difference < 0 else 'more'} than"
    if size == fixed(0):
        said = "equals"
    sentence = f"it {said} the best teacher ({teacher.short}, {teacher.network})"
    fewer = _ratio(teacher, student, "parameters")
    if fewer:
        sentence += f" at {fewer} fewer parameters"
    return sentence if tainted or one.outcome != "open" else f"{sentence}, where {_doubt(one)}"


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
    return ", ".join(parts)


def _seeds(student: Model, alone: Model) -> str:
    one, other = student.repeats, alone.repeats
    if one == other:
        return one
    return f"{one} against {other}" if "fold" in one + other else f"{one} against {len(alone.evaluated)}"


def _more_on(one: Compared) -> list[str]:
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


def _trivial(student: Model, evidence: Evidence, brief: bool = False) -> list[str]:
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


def _savings(student: Model, teacher: Model) -> list[Tile]:
    found = []
    for what, caption in (
        ("parameters", "fewer parameters"),
        ("macs", "fewer MACs"),
        ("latency_median", "faster"),
    ):
        ratio = _ratio(teacher, student, what)
        if ratio:
            found.append(Tile(ratio, f"{caption} than {teacher.short}"))
    return found


def _ratio(teacher: Model, student: Model, what: str) -> str | None:
    """How much less the student needs; MACs and times only where both were measured on the same input."""
    if teacher.cost is None or student.cost is None:
        return None
    if what != "parameters" and teacher.cost.input != student.cost.input:
        return None
    large, small = getattr(teacher.cost, what), getattr(student.cost, what)
    return times(large, small) if large and small and large >= LEAST_SAVED * small else None


def _nothing_distilled(evidence: Evidence) -> Verdict:
    judged = [model for model in evidence.models if model.evaluated]
    if not judged:
        return Verdict("unknown", "None of these runs has scores yet.", (), "segdistill evaluate RUN", ())
    best = max(judged, key=evidence.dice)
    sentence = (
        f"None of these runs is distilled, so nothing can be said about distillation; the best network here "
        f"is {best.short} ({best.network}) with a Dice of {fixed(points(evidence.dice(best)))}."
    )
    return Verdict("unknown", sentence, tuple(_trivial(best, evidence)), None, ())


def _name(student: Model, evidence: Evidence) -> str:
    if len(evidence.comparisons) == 1:
        return f"The distilled student ({student.network}, {student.method})"
    return f"{student.short} ({student.network})"


def _tone(result: str) -> str:
    return {"gain": "gain", "loss": "loss"}.get(result, "plain")
