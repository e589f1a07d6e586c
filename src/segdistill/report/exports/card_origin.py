"""Where a student comes from: the parts of a model card about data, training and teachers."""

from __future__ import annotations

from collections.abc import Iterator

from segdistill.report.evidence import Comparison, Evidence, Model
from segdistill.report.exports.card_recipe import settings
from segdistill.report.markdown import plain
from segdistill.report.words import count, duration, fixed, listing, points


def data(student: Model, evidence: Evidence) -> Iterator[str]:
    """Which images, how many, how they were prepared and split."""
    run = student.run
    prints = list(dict.fromkeys(one.fingerprint for one in student.runs if one.fingerprint))
    sizes = {name: len(cases) for name, cases in run.splits.items()}
    yield f"- Data set: {plain(run.dataset) or 'not named'}"
    if prints:
        yield f"- Fingerprint of the images and of how they were prepared: {', '.join(f'`{one}`' for one in prints)}"
    yield f"- Classes: {plain(listing(run.classes, 30))}"
    if sizes:
        told = ", ".join(f"{number} {name}" for name, number in sizes.items())
        yield f"- Cases: {sum(sizes.values())} ({told})"
    yield f"- Scored on: {count(len(evidence.cases_of(student)), evidence.noun)}"
    for key in ("data.spacing", "data.patch_size"):
        value = settings(student).get(key)
        if value is not None:
            yield f"- `{key}`: `{value}`"
    yield ""
    yield (
        "Who the patients are, how they were chosen, and who drew the reference is not known to the program that wrote "
        "this card: **to be filled in.**"
    )


def training(student: Model) -> Iterator[str]:
    """The settings that matter most, the seeds, how long it took and on what machine."""
    found = settings(student)
    for key in (
        "train.epochs",
        "train.iterations",
        "data.batch_size",
        "train.optimizer.type",
        "train.optimizer.lr",
    ):
        if found.get(key) is not None:
            yield f"- `{key}`: `{found[key]}`"
    terms = [key.split(".")[1] for key in found if key.startswith("terms.") and key.endswith(".loss.type")]
    for term in terms:
        weight = found.get(f"terms.{term}.weight", "by schedule")
        yield f"- Term {plain(term)}: loss `{found[f'terms.{term}.loss.type']}`, weight `{weight}`"
    yield f"- Seeds: {', '.join(str(run.seed) for run in student.runs)}"
    seconds = [run.seconds for run in student.runs if run.seconds is not None]
    if seconds:
        yield f"- Wall time of one training: {duration(sum(seconds) / len(seconds))}"
    for machine in {plain(_machine(run.machine)): None for run in student.runs if run.machine}:
        yield f"- Trained on: {machine}"
    yield from (
        "",
        "All other settings are in the recipe below. The checkpoint was chosen on validation cases.",
    )


def _machine(machine: object) -> str:
    kept = {k: v for k, v in dict(machine).items() if v is not None} if isinstance(machine, dict) else {}
    return ", ".join(f"{key} {value}" for key, value in kept.items())


def teachers(comparison: Comparison, evidence: Evidence) -> Iterator[str]:
    """Who taught: with a row in the tables, without one, and beside the student."""
    student, told = comparison.student, False
    for teacher in comparison.teachers:
        told = True
        size = (
            f", {teacher.cost.parameters / 1e6:.2f} M parameters"
            if teacher.cost and teacher.cost.parameters
            else ""
        )
        dice = teacher.mean("dice", evidence.cases_of(teacher)) if teacher.evaluated else None
        scored = f", Dice {fixed(points(dice))}" if dice is not None and dice == dice else ", not scored"
        yield f"- {plain(teacher.short)}: {plain(teacher.network)}{size}{scored}"
    lost = {one.name: one.what for one in evidence.missing_of(student)}
    for name, what in lost.items():
        told = True
        yield f"- {plain(name)}: {plain(what) or 'its folder was not there any more'}; not scored here"
    for one in dict.fromkeys(one for run in student.runs for one in run.learning):
        told = True
        yield f"- {plain(one)}, which learned beside the student"
    if not told:
        yield "None is named by the runs."
