"""Checks of what students are scored on and somebody had learnt from."""

from __future__ import annotations

from collections.abc import Iterator

from segdistill.report.cautions.caution import Caution
from segdistill.report.evidence import Evidence
from segdistill.report.leaks import MARK
from segdistill.report.words import count, listing


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
    everyone = {teacher: None for missing in evidence.missing_teachers.values() for teacher in missing}
    names = {run.path: run.name for run in evidence.runs}
    for teacher in everyone:
        taught = [names[path] for path, missing in evidence.missing_teachers.items() if teacher in missing]
        who = f"{listing(taught)} {'was' if len(taught) == 1 else 'were'} taught by {teacher.name}"
        unchecked = (
            "" if teacher.told else ", and whether it was trained on the scored cases cannot be checked"
        )
        if teacher.what:
            text = f"{who}, {teacher.what}, which is not scored here{unchecked}."
            yield Caution("note", "Teacher not scored", text)
        else:
            text = f"{who}, of which there is no run folder where run.json says. It is not in the tables{unchecked}."
            yield Caution("note", "Teacher not found", text)
