"""What a reader has to know before believing the figures: small checks over the evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from segdistill.report import baseline
from segdistill.report.comparisons import compare, outcome
from segdistill.report.evidence import Evidence, Missing
from segdistill.report.leaks import MARK
from segdistill.report.words import count, fixed, listing, points

ALMOST_NONE, ALMOST_ALL = 0.01, 0.99  # of the student's gradient
FEW = 10  # scored cases
NO_EVIDENCE = {
    "validation": ("validation cases", "chose the checkpoint"),
    "train": ("training cases", "are what the network learnt"),
}


@dataclass(frozen=True)
class Caution:
    """serious: a figure is wrong or cannot be compared. note: a figure says less than it seems to."""

    severity: str  # serious | note
    title: str
    text: str


def no_test_cases(evidence: Evidence) -> Iterator[Caution]:
    """Scores of cases that trained the network or chose its checkpoint."""
    everyone = len(evidence.splits) == 1
    for split, names in evidence.splits.items():
        if split in NO_EVIDENCE:
            cases, why = NO_EVIDENCE[split]
            who = (
                "Every run here was"
                if everyone
                else f"{listing(names)} {'was' if len(names) == 1 else 'were'}"
            )
            mixed = "" if everyone else " Other runs were not, so the comparison favours these."
            text = (
                f"{who} scored on {cases}, which {why}. Figures and p-values are optimistic and no evidence."
                f"{mixed} Name test cases by data.splits.test (a share of the patients, or a list of cases) and "
                "train again."
            )
            yield Caution("serious", "No test cases", text)


def leak(evidence: Evidence) -> Iterator[Caution]:
    """Scored cases of a student that it, its baseline or a teacher was trained on, or was selected by.

    What a run is itself scored on, and says so (its split is not test), is told by `no_test_cases`.
    """
    trained: dict[str, set[str]] = {}
    selected: dict[str, set[str]] = {}
    for comparison in evidence.comparisons:
        members = (comparison.student, comparison.alone, *comparison.teachers)
        for model in [member for member in members if member is not None]:
            for run in model.runs:
                tested = comparison.student.cases_with(run)
                for split, found in (("train", trained), ("validation", selected)):
                    # What several models as one have learnt from is told by `leak_of_others`.
                    apart = split == "train" and run.path.resolve() in evidence.members
                    if run.split != split and not apart:
                        seen = tested & set(run.splits.get(split, ()))
                        found.setdefault(model.short, set()).update(seen)
    for short, cases in trained.items():
        if cases:
            text = (
                f"{short} was trained on {count(len(cases), 'case')} that students here are scored on "
                f"({listing(sorted(cases))}). What it scores, and what it taught about them, is too good to "
                "be evidence; train it again with the splits.json of the student."
                f"{_fate(evidence, short)}"
            )
            yield Caution("serious", "Leak", text)
    for short, cases in selected.items():
        if cases:
            text = (
                f"The checkpoint of {short} was chosen by {count(len(cases), 'case')} that students here are "
                f"scored on ({listing(sorted(cases))}); its figures may be a little too good."
            )
            yield Caution("note", "Selected on scored cases", text)


def leak_of_others(evidence: Evidence) -> Iterator[Caution]:
    """Scored cases that a teacher without a row had learnt from: another tool's model, or several that are one."""
    for model in evidence.of("distilled"):
        for told in (told for told in evidence.leaks_of(model) if not told.has_row):
            scored = len({case for run in model.evaluated if run.scores for case in run.scores.cases})
            why = "What it scores on them is no evidence; choose test cases that no teacher has seen."
            if told.out_of_fold:
                why = (
                    "With folds: out_of_fold that is so in every cross-validated figure, and only cases outside all "
                    "folds are evidence: name them by data.splits.test, the same for the teachers and the student."
                )
            text = (
                f"{model.short} was taught by {told.teacher}, which had learnt from {len(told.cases)} of the {scored} "
                f"scored {evidence.noun}s ({listing(told.cases)}). {why}{_fate(evidence, told.teacher)}"
            )
            yield Caution("serious", "Leak", text)


def _fate(evidence: Evidence, teacher: str) -> str:
    """What the report does with the cases that a teacher had learnt from."""
    students = [m for m in evidence.models if teacher in (leak.teacher for leak in evidence.leaks_of(m))]
    if not students:
        return ""
    if any(evidence.tainted(student) for student in students):
        return f" Figures over such cases alone are marked {MARK}."
    return " Such cases are left out of all means and comparisons here."


def unknown_teacher(evidence: Evidence) -> Iterator[Caution]:
    """Teachers that cannot be compared with or checked for leaks."""
    for run, missing in evidence.missing_teachers.items():
        gone = [teacher for teacher in missing if not teacher.what]
        if gone:
            text = (
                f"{run} was taught by {listing([one.name for one in gone])}, of which there is no run folder where "
                f"run.json says. It is not in the tables{_unchecked(gone)}."
            )
            yield Caution("note", "Teacher not found", text)
    everyone = {teacher: None for missing in evidence.missing_teachers.values() for teacher in missing}
    for teacher in (teacher for teacher in everyone if teacher.what):
        taught = [run for run, missing in evidence.missing_teachers.items() if teacher in missing]
        who = f"{listing(taught)} {'was' if len(taught) == 1 else 'were'} taught by {teacher.name}"
        text = f"{who}, {teacher.what}, which is not scored here{_unchecked([teacher])}."
        yield Caution("note", "Teacher not scored", text)


def _unchecked(teachers: Sequence[Missing]) -> str:
    told = all(teacher.told for teacher in teachers)
    return "" if told else ", and whether it was trained on the scored cases cannot be checked"


def no_baseline(evidence: Evidence) -> Iterator[Caution]:
    """Distilled students without the same network trained alone."""
    for comparison in evidence.comparisons:
        if baseline.is_missing(comparison):
            text = (
                f"There is no evaluated run of {comparison.student.network} trained alone with the budget of "
                f"{comparison.student.short}; without it, nobody knows what distillation gained."
            )
            yield Caution("serious", "No student alone", text)


def unequal_budgets(evidence: Evidence) -> Iterator[Caution]:
    """Students alone that were not trained as the distilled ones were."""
    for comparison in evidence.comparisons:
        if comparison.alone is not None and comparison.differences:
            names = f"{comparison.student.short} and {comparison.alone.short}"
            text = f"{names} were not trained alike ({listing(comparison.differences)})."
            yield Caution("serious", "Different budgets", text)


def one_seed(evidence: Evidence) -> Iterator[Caution]:
    """Students of which no spread over seeds is known."""
    single = [m.short for m in evidence.models if m.role != "teacher" and len(m.evaluated) == 1]
    if single:
        text = (
            f"{listing(single)} ran with one seed only. The interval and the p-values are over cases; how "
            "much another seed would change the result is unknown. Three seeds are a fair start."
        )
        yield Caution("note", "One seed", text)


def untuned(evidence: Evidence) -> Iterator[Caution]:
    """Baselines that were not given their best chance."""
    plain = [
        c.alone.short
        for c in evidence.comparisons
        if c.alone is not None and not c.alone.run.recipe.get("tuned")
    ]
    if plain:
        names = listing(list(dict.fromkeys(plain)))
        text = (
            f"{names}, trained alone, had settings that were not tuned, and an untuned baseline is easily beaten. "
            "The command study tune searches learning rate and augmentation on the validation cases."
        )
        yield Caution("note", "Untuned baseline", text)


def few_cases(evidence: Evidence) -> Iterator[Caution]:
    """So few cases that only large differences show."""
    sizes = {len(evidence.cases_of(c.student)) for c in evidence.comparisons if c.student.evaluated}
    if sizes and 0 < min(sizes) < FEW:
        text = f"Students are judged on {count(min(sizes), evidence.noun)}; only large differences show."
        yield Caution("note", "Few cases", text)


def weak_teacher(evidence: Evidence) -> Iterator[Caution]:
    """Teachers that score below the student alone."""
    for comparison in evidence.comparisons:
        alone = comparison.alone
        if alone is None or not alone.evaluated:
            continue
        for teacher in (teacher for teacher in comparison.teachers if teacher.evaluated):
            behind = compare(teacher, alone, evidence)
            if behind.difference is None or behind.difference >= 0:
                continue
            sure = outcome(behind) == "loss"
            text = (
                f"{teacher.short} ({teacher.network}) scores {fixed(points(-behind.difference))} Dice points "
                f"less than {alone.short} trained alone{'' if sure else ', which may be chance'}; it has "
                "little to teach. Train it further."
            )
            yield Caution("serious" if sure else "note", "Teacher worse than the student alone", text)


def silent_term(evidence: Evidence) -> Iterator[Caution]:
    """Terms whose share of the student's gradient stays below 1 % or above 99 %."""
    for model in evidence.of("distilled"):
        shares = [share for run in model.runs for share in run.shares]
        for term in dict.fromkeys(name for share in shares for name in share):
            values = [share[term] for share in shares if share.get(term) is not None]
            if values and max(values) < ALMOST_NONE:
                told = (
                    f"gets at most {fixed(100 * max(values), 2)} % of the student's gradient, so it teaches"
                )
                advice = "next to nothing. Raise its weight, or choose another norm."
            elif values and min(values) > ALMOST_ALL and any(len(share) > 1 for share in shares):
                told = f"takes at least {fixed(100 * min(values))} % of the student's gradient, so all else"
                advice = "teaches next to nothing. Lower its weight."
            else:
                continue
            text = f"In {model.short}, the term \u201c{term}\u201d {told} {advice}"
            yield Caution("note", "Term out of balance", text)


def unfinished(evidence: Evidence) -> Iterator[Caution]:
    """Runs that did not end as planned, or that nobody evaluated."""
    for run in evidence.runs:
        if run.status not in ("", "finished"):
            planned = f" of {run.planned_epochs}" if run.planned_epochs else ""
            text = (
                f"{run.name} is not finished ({len(run.epochs)}{planned} epochs); what it scores, if "
                "anything, is of an earlier checkpoint. Its command with --resume goes on with it."
            )
            yield Caution("serious", "Unfinished run", text)
        elif run.scores is None:
            text = f"{run.name} has no scores and is left out of comparisons."
            yield Caution("serious", "Not evaluated", text)


def unequal_cases(evidence: Evidence) -> Iterator[Caution]:
    """Runs that were scored on different cases."""
    lists = {
        (run.name if run.fold is None else model.short): set(
            run.scores.cases if run.fold is None else model.cases
        )
        for model in evidence.models
        for run in model.evaluated
        if run.scores
    }
    everything = set().union(*lists.values())
    shared = set.intersection(*lists.values()) if lists else set()
    if all(cases == everything for cases in lists.values()):
        return
    sizes = listing([f"{name}: {len(cases)}" for name, cases in lists.items()])
    if shared:
        left_out = sorted(everything - shared)
        text = (
            f"All figures are over the {count(len(shared), 'case')} that all runs share; "
            f"{len(left_out)} left out ({listing(left_out)}). Cases of each run: {sizes}."
        )
        yield Caution("note", "Unequal case lists", text)
    else:
        text = (
            "No case is in all runs, so rows of the table cannot be compared with each other; a comparison "
            f"in words uses the cases that its two models share. Cases of each run: {sizes}."
        )
        yield Caution("serious", "Unequal case lists", text)


def other_preprocessing(evidence: Evidence) -> Iterator[Caution]:
    """Runs on images that were prepared differently."""
    folds: dict[int | None, set[str]] = {}  # each is prepared by its own training cases
    for run in evidence.runs:
        folds.setdefault(run.fold, set()).update(filter(None, [run.fingerprint]))
    prints = max(map(sorted, folds.values()), key=len, default=[])
    if len(prints) > 1:
        text = (
            "The runs were trained on differently prepared or changed images (fingerprints "
            f"{listing(prints)}). Scores are on the original images."
        )
        yield Caution("note", "Data differ", text)


def unequal_inputs(evidence: Evidence) -> Iterator[Caution]:
    """Costs of inputs that differ in size."""
    inputs = sorted({model.cost.input for model in evidence.models if model.cost and model.cost.input})
    if len(inputs) > 1:
        sizes = listing([" \u00d7 ".join(map(str, one)) for one in inputs])
        yield Caution("note", "Unequal inputs", f"MACs and times are for inputs of different size ({sizes}).")


def undefined_scores(evidence: Evidence) -> Iterator[Caution]:
    """Cases that no Dice can be computed for."""
    empty: set[str] = set()
    for model in evidence.models:
        scores = model.by_case("dice", evidence.cases_of(model))
        empty |= {case for case, value in scores.items() if value is None}
    if empty:
        text = (
            f"{count(len(empty), 'case has', 'cases have')} neither a reference nor a prediction in at least "
            f"one model ({listing(sorted(empty))}); such a Dice is undefined and not averaged."
        )
        yield Caution("note", "Empty cases", text)


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


CHECKS: tuple[Callable[[Evidence], Iterator[Caution]], ...] = (
    *(no_test_cases, leak, leak_of_others, no_baseline, unequal_budgets, weak_teacher, unfinished),
    *(unequal_cases, unknown_teacher, one_seed, untuned, few_cases, silent_term, other_preprocessing),
    *(unequal_inputs, undefined_scores, several_comparisons, twin_runs),
)


def examine(evidence: Evidence) -> tuple[Caution, ...]:
    """Every caution once, serious ones first."""
    found = dict.fromkeys(caution for check in CHECKS for caution in check(evidence))
    return tuple(sorted(found, key=lambda caution: caution.severity != "serious"))
