"""What the runs show, in words: first whether distillation gained anything, then what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segdistill.report import baseline, unscored
from segdistill.report.comparisons import ALONE, LEVEL, TEACHER, find
from segdistill.report.evidence import Comparison, Evidence, Model
from segdistill.report.leaks import MARK
from segdistill.report.sentences import (
    against_alone,
    against_teacher,
    against_trivial,
    left_out,
    more_on,
    noun_of,
    times_less,
    who_had_learnt,
    without_judging,
)
from segdistill.report.words import fixed, listing, points, signed


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
    over_seeds: bool | None = (
        None  # whether a test over seeds settles a gain or a loss, too; None: there is no such test
    )


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
        sentence = f"{name} {unscored.why(student)}, so nothing can be concluded about it."
        return Verdict("unknown", sentence, (), unscored.commands(student.runs), ())
    details: list[str] = []
    tiles: list[Tile] = []
    command = None
    compared = [m for m in (student, comparison.alone) if m is not None and m.evaluated]
    tainted = evidence.tainted(*compared)
    if comparison.alone is None or baseline.is_missing(comparison):
        result = "unknown"
        dice = fixed(points(evidence.dice(student)))
        first = (
            f"{name} reaches a Dice of {dice} %; what distillation gained is unknown, because "
            f"{baseline.why_missing(comparison)}"
        )
        command = baseline.commands(comparison, evidence, out)
    else:
        one = find(evidence, ALONE, student)
        assert one is not None  # the student alone has scores
        test, noun = one.test, noun_of(evidence, student, comparison.alone)
        result = "unknown" if tainted else one.outcome
        if tainted:
            first = without_judging(name, test, student, comparison.alone, noun)
        else:
            first = against_alone(name, one, student, comparison.alone, noun)
        value = signed(points(test.difference)) + (MARK if tainted else "")
        tiles.append(Tile(value, "Dice points against the student alone", _tone(result)))
        details += [] if brief or tainted else more_on(one)
        if comparison.differences:
            details.append(
                f"The two were not trained alike ({listing(comparison.differences, 3)}), so the difference "
                "is not due to distillation alone."
            )
    if tainted:
        first = f"No evidence: {who_had_learnt(evidence, student)}; {first.replace('The ', 'the ', 1)}"
    against = find(evidence, TEACHER, student)
    second = ""
    if against is not None and against.other is not None:
        teacher = against.other
        second = "; " + against_teacher(against, student, teacher, tainted)
        caption = f"Dice points against the best teacher, {teacher.short}"
        told = signed(points(against.test.difference))
        tile = Tile(told + MARK, caption) if tainted else Tile(told, caption, _tone(against.outcome))
        tiles += [tile, *_savings(student, teacher)]
    details = left_out(evidence, student) + details + against_trivial(student, evidence, brief or tainted)
    own = find(evidence, ALONE, student)
    p = (
        own.repeated.p
        if own is not None and own.repeated is not None and result in ("gain", "loss")
        else None
    )
    return Verdict(
        result, f"{first}{second}.", tuple(details), command, tuple(tiles), None if p is None else p < LEVEL
    )


def _savings(student: Model, teacher: Model) -> list[Tile]:
    found = []
    for what, caption in (
        ("parameters", "fewer parameters"),
        ("macs", "fewer MACs"),
        ("latency_median", "faster"),
    ):
        ratio = times_less(teacher, student, what)
        if ratio:
            found.append(Tile(ratio, f"{caption} than {teacher.short}"))
    return found


def _nothing_distilled(evidence: Evidence) -> Verdict:
    judged = [model for model in evidence.models if model.evaluated]
    if not judged:
        sentence = "None of these runs has scores yet."
        return Verdict("unknown", sentence, (), unscored.commands(evidence.runs), ())
    best = max(judged, key=evidence.dice)
    sentence = (
        f"None of these runs is distilled, so nothing can be said about distillation; the best network here "
        f"is {best.short} ({best.network}) with a Dice of {fixed(points(evidence.dice(best)))} %."
    )
    return Verdict("unknown", sentence, tuple(against_trivial(best, evidence)), None, ())


def _name(student: Model, evidence: Evidence) -> str:
    if len(evidence.comparisons) == 1:
        return f"The distilled student ({student.network}, {student.method})"
    about = ", ".join(filter(None, (student.variant, student.network)))
    return f"{student.short.removesuffix(f' ({student.variant})')} ({about})"


def _tone(result: str) -> str:
    return {"gain": "gain", "loss": "loss"}.get(result, "plain")
