"""Checks of the cases that were scored."""

from __future__ import annotations

from collections.abc import Iterator

from segdistill.report.cautions.caution import Caution
from segdistill.report.evidence import Evidence
from segdistill.report.words import count, listing

NO_EVIDENCE = {
    "validation": ("validation cases", "chose the checkpoint"),
    "train": ("training cases", "are what the network learnt"),
}
FEW = 10  # scored cases


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


def few_cases(evidence: Evidence) -> Iterator[Caution]:
    """So few cases that only large differences show."""
    sizes = {len(evidence.cases_of(c.student)) for c in evidence.comparisons if c.student.evaluated}
    if sizes and 0 < min(sizes) < FEW:
        text = f"Students are judged on {count(min(sizes), evidence.noun)}; only large differences show."
        yield Caution("note", "Few cases", text)


def unequal_cases(evidence: Evidence) -> Iterator[Caution]:
    """Runs that were scored on different cases."""
    lists = {
        (run.name if run.part is None else model.short): set(
            run.scores.cases if run.part is None else model.cases
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


def undefined_scores(evidence: Evidence) -> Iterator[Caution]:
    """Cases that no Dice can be computed for, and who sees something in them."""
    empty: set[str] = set()
    for model in evidence.models:
        scores = model.by_case("dice", evidence.cases_of(model))
        empty |= {case for case, value in scores.items() if value is None}
    if empty:
        text = (
            f"{count(len(empty), 'case has', 'cases have')} neither a reference nor a prediction in any model "
            f"({listing(sorted(empty))}); such a Dice is undefined and not averaged."
        )
        yield Caution("note", "Empty cases", text)
    if evidence.absent:
        cases = sorted({case for case, _ in evidence.absent})
        text = (
            f"In {count(len(cases), 'case')} ({listing(cases)}) some runs see a structure that is not there, and "
            "others rightly none. Seeing it has a Dice of 0; seeing nothing, for which there is no Dice, counts 1 "
            "there (HD95: 0), so that a false alarm is charged to whoever gives it."
        )
        yield Caution("note", "Absent structures", text)


def foreign_scores(evidence: Evidence) -> Iterator[Caution]:
    """Scores of cases that are none of the run's own: of another data set, or copied from another run."""
    for run in evidence.runs:
        if run.strangers:
            text = (
                f"metrics.json of {run.name} has scores of cases that are none of its {run.split} cases "
                f"({listing(run.strangers)}): it is of another data set or run. Nothing can be concluded from it, so "
                "it is left out; the command evaluate scores the run again."
            )
            yield Caution("serious", "Scores of other cases", text)


def unequal_classes(evidence: Evidence) -> Iterator[Caution]:
    """Runs that were scored on different structures."""
    found: dict[tuple[str, ...], list[str]] = {}
    for run in evidence.evaluated:
        found.setdefault(tuple(sorted(run.classes)), []).append(run.name)
    if len(found) > 1:
        told = "; ".join(f"{listing(list(names))}: {listing(runs)}" for names, runs in found.items())
        text = (
            f"The runs were scored on different classes ({told}). A mean over classes then means something else in "
            "each of them; comparisons of two are over the classes that both have."
        )
        yield Caution("serious", "Different classes", text)
