"""What a reader has to know before believing the figures: one small check after the other over the evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

from segdistill.report.evidence import Evidence, Model
from segdistill.report.verdict import compare, outcome
from segdistill.report.words import count, fixed, listing, points

ALMOST_NONE, ALMOST_ALL = 0.01, 0.99  # of the student's gradient


@dataclass(frozen=True)
class Caution:
    """serious: a figure is wrong or cannot be compared. note: a figure says less than it seems to."""

    severity: str  # serious | note
    title: str
    text: str


def leak(evidence: Evidence) -> Iterator[Caution]:
    """Test cases of a student that it, its baseline or a teacher was trained on, or was selected by."""
    trained: dict[str, set[str]] = {}
    selected: dict[str, set[str]] = {}
    for comparison in evidence.comparisons:
        tested = set(comparison.student.cases)
        for model in (comparison.student, comparison.alone, *comparison.teachers):
            for run in model.runs if model else ():
                seen = tested & set(run.splits.get("train", ()))
                trained.setdefault(model.short, set()).update(seen)
                selected.setdefault(model.short, set()).update(tested & set(run.splits.get("validation", ())) - seen)
    for short, cases in trained.items():
        if cases:
            yield Caution(
                "serious",
                "Leak",
                f"{short} was trained on {count(len(cases), 'case')} that the students are tested on "
                f"({listing(sorted(cases))}). What it scores, and what it taught about them, is too good to be "
                "evidence; train it again with the splits.json of the student.",
            )
    for short, cases in selected.items():
        if cases:
            yield Caution(
                "note",
                "Selected on test cases",
                f"The checkpoint of {short} was chosen by {count(len(cases), 'case')} that the students are tested on "
                f"({listing(sorted(cases))}); its figures may be a little too good.",
            )


def unknown_teacher(evidence: Evidence) -> Iterator[Caution]:
    """Teachers that cannot be compared with or checked for leaks."""
    for run, names in evidence.missing_teachers.items():
        yield Caution(
            "note",
            "Teacher not found",
            f"{run} was taught by {listing(names)}, whose run folder is not where run.json says. It is not in the "
            "tables, and whether it was trained on test cases cannot be checked.",
        )


def no_baseline(evidence: Evidence) -> Iterator[Caution]:
    """Distilled students without the same network trained alone."""
    for comparison in evidence.comparisons:
        if comparison.alone is None or not comparison.alone.evaluated:
            yield Caution(
                "serious",
                "No student alone",
                f"There is no evaluated run of {comparison.student.network} trained alone with the budget of "
                f"{comparison.student.short}; without it, nobody knows what distillation gained.",
            )


def unequal_budgets(evidence: Evidence) -> Iterator[Caution]:
    for comparison in evidence.comparisons:
        if comparison.alone is not None and comparison.differences:
            yield Caution(
                "serious",
                "Different budgets",
                f"{comparison.student.short} and {comparison.alone.short} were not trained alike "
                f"({listing(comparison.differences)}).",
            )


def one_seed(evidence: Evidence) -> Iterator[Caution]:
    single = [m.short for m in evidence.models if m.role != "teacher" and len(m.evaluated) == 1]
    if single:
        yield Caution(
            "note",
            "One seed",
            f"{listing(single)} ran with one seed only. The interval and the p-values are over cases; "
            "how much another seed would change the result is unknown. Three seeds are a fair start.",
        )


def few_cases(evidence: Evidence) -> Iterator[Caution]:
    for student in _judged(evidence):
        if 0 < len(evidence.cases_of(student)) < 10:
            cases = count(len(evidence.cases_of(student)), "test case")
            yield Caution("note", "Few cases", f"{student.short} is judged on {cases}; only large differences show.")
            return


def weak_teacher(evidence: Evidence) -> Iterator[Caution]:
    """Teachers that score below the student alone."""
    for comparison in evidence.comparisons:
        if comparison.alone is None or not comparison.alone.evaluated:
            continue
        for teacher in comparison.teachers:
            if not teacher.evaluated:
                continue
            behind = compare(teacher, comparison.alone, evidence)
            if behind.difference is not None and behind.difference < 0:
                sure = "" if outcome(behind) == "loss" else " (a difference that chance alone may explain)"
                yield Caution(
                    "serious" if not sure else "note",
                    "Teacher worse than the student alone",
                    f"{teacher.short} ({teacher.network}) scores {fixed(points(-behind.difference))} Dice points less "
                    f"than {comparison.alone.short} trained alone{sure}; it has little to teach. Train it further.",
                )


def silent_term(evidence: Evidence) -> Iterator[Caution]:
    """Terms whose share of the student's gradient stays below 1 % or above 99 %."""
    for model in evidence.of("distilled"):
        shares = [share for run in model.runs for share in run.shares]
        for term in dict.fromkeys(name for share in shares for name in share):
            values = [share[term] for share in shares if share.get(term) is not None]
            if values and max(values) < ALMOST_NONE:
                text = f"gets at most {fixed(100 * max(values), 2)} % of the student's gradient, so it teaches next to "
                text += "nothing. Raise its weight, or choose another norm."
            elif values and min(values) > ALMOST_ALL and len(shares[0]) > 1:
                text = f"takes at least {fixed(100 * min(values), 1)} % of the student's gradient, so all other terms "
                text += "teach next to nothing. Lower its weight."
            else:
                continue
            yield Caution("note", "Term out of balance", f"In {model.short}, the term \u201c{term}\u201d {text}")


def unfinished(evidence: Evidence) -> Iterator[Caution]:
    for run in evidence.runs:
        epochs = f"{len(run.epochs)} of {run.planned_epochs} epochs" if run.planned_epochs else "no plan known"
        if run.status not in ("", "finished"):
            text = f"{run.name} is not finished ({epochs}); its figures are those of an earlier checkpoint, if any."
            yield Caution("serious", "Unfinished run", f"{text} `segdistill train ... --resume` goes on with it.")
        elif run.scores is None:
            yield Caution("serious", "Not evaluated", f"{run.name} has no test scores and is left out of comparisons.")


def unequal_cases(evidence: Evidence) -> Iterator[Caution]:
    lists = {run.name: set(run.scores.cases) for run in evidence.runs if run.scores}
    everything = set().union(*lists.values()) if lists else set()
    if not everything or all(cases == everything for cases in lists.values()):
        return
    sizes = listing([f"{name}: {len(cases)}" for name, cases in lists.items()])
    if evidence.cases:
        left_out = sorted(everything - set(evidence.cases))
        text = f"All figures are over the {count(len(evidence.cases), 'case')} that all runs share; {len(left_out)} "
        yield Caution("note", "Unequal case lists", f"{text}left out ({listing(left_out)}). Cases of each run: {sizes}.")
    else:
        text = "No case is in all runs, so rows of the table cannot be compared with each other; a comparison in words "
        yield Caution("serious", "Unequal case lists", f"{text}uses the cases that its two models share ({sizes}).")


def other_preprocessing(evidence: Evidence) -> Iterator[Caution]:
    prints = {run.fingerprint for run in evidence.runs if run.fingerprint}
    if len(prints) > 1:
        text = "The runs were trained on differently prepared or changed images (data set fingerprints differ: "
        yield Caution("note", "Data differ", f"{text}{listing(sorted(prints))}). Scores are on the original images.")


def unequal_inputs(evidence: Evidence) -> Iterator[Caution]:
    inputs = {model.cost.input for model in evidence.models if model.cost and model.cost.input}
    if len(inputs) > 1:
        sizes = listing([" \u00d7 ".join(map(str, one)) for one in sorted(inputs)])
        yield Caution("note", "Unequal inputs", f"MACs and times are for inputs of different size ({sizes}).")


def undefined_scores(evidence: Evidence) -> Iterator[Caution]:
    for model in evidence.models:
        cases = evidence.cases_of(model)
        empty = [case for case, value in model.by_case("dice", cases).items() if value is None]
        if empty:
            text = f"{count(len(empty), 'case has', 'cases have')} neither a reference nor a prediction in any class"
            yield Caution("note", "Empty cases", f"{text} of {model.short} ({listing(empty)}); not averaged into Dice.")
            return


def several_comparisons(evidence: Evidence) -> Iterator[Caution]:
    if len(evidence.comparisons) > 1:
        text = "Several students are tested here; the p-values are not corrected for that, so the best of them owes "
        yield Caution("note", "Several comparisons", f"{text}a part of its gain to having been chosen as the best.")


def twin_runs(evidence: Evidence) -> Iterator[Caution]:
    for model in evidence.models:
        pairs = [(a, b) for a, b in combinations(model.runs, 2) if a.seed == b.seed]
        if pairs:
            names = f"{pairs[0][0].name} and {pairs[0][1].name}"
            yield Caution("note", "Same seed twice", f"{names} have the same recipe and seed; the spread is too small.")


CHECKS: tuple[Callable[[Evidence], Iterator[Caution]], ...] = (
    *(leak, no_baseline, unequal_budgets, weak_teacher, unfinished, unequal_cases),
    *(unknown_teacher, one_seed, few_cases, silent_term, other_preprocessing, unequal_inputs),
    *(undefined_scores, several_comparisons, twin_runs),
)


def examine(evidence: Evidence) -> tuple[Caution, ...]:
    """Every caution once, serious ones first."""
    found = dict.fromkeys(caution for check in CHECKS for caution in check(evidence))
    return tuple(sorted(found, key=lambda caution: caution.severity != "serious"))


def _judged(evidence: Evidence) -> list[Model]:
    return [c.student for c in evidence.comparisons if c.student.evaluated]


