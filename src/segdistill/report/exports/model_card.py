"""MODEL_CARD.md: what the best distilled student is, what it is for, how good it is, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from segdistill import __version__
from segdistill.errors import SegdistillError
from segdistill.report import cautions, verdict
from segdistill.report.evidence import Comparison, Evidence, Model
from segdistill.report.exports import card_origin, card_tables
from segdistill.report.exports.card_front import front, title
from segdistill.report.exports.card_recipe import commands, recipe
from segdistill.report.exports.sharing import numbered, only, without_places
from segdistill.report.markdown import plain
from segdistill.report.tables import calibration, cases, classes, costs, lesions, results
from segdistill.report.words import listing

WORST = 5


def subject(evidence: Evidence) -> Comparison:
    """The student that a card is of: the best distilled one that was scored.

    Raises:
        SegdistillError: there is none.
    """
    if evidence.headline is None:
        raise SegdistillError(
            "a model card is of a distilled student that was scored, and none of these runs is one; give the run of "
            "one, or leave `card` out of --format"
        )
    return evidence.headline


def render(evidence: Evidence) -> str:
    """The card as Markdown with YAML in front. Cases have numbers, nothing is said of paths.

    Raises:
        SegdistillError: no distilled student was scored.
    """
    everyone = numbered(without_places(evidence))
    comparison = subject(everyone)
    own = only(everyone, comparison)
    text = "\n".join(_lines(comparison, own, everyone))
    return front(comparison.student, own) + "\n" + text.rstrip() + "\n"


def _lines(comparison: Comparison, own: Evidence, everyone: Evidence) -> Iterator[str]:
    student = comparison.student
    said = verdict.judge(comparison, everyone, Path())  # p-values are adjusted for all students
    yield from (f"# {plain(title(student.run))}", "", f"**{plain(said.sentence)}**", "")
    for detail in said.details:
        yield from (plain(detail), "")
    yield from _what(student)
    yield from _use()
    yield from ("## Data", "", *card_origin.data(student, own), "")
    yield from ("## Training", "", *card_origin.training(student), "")
    yield from ("## Teachers", "", *card_origin.teachers(comparison, own), "")
    yield from ("## Figures", "", *card_tables.rendered(results.tabulate(own)), "")
    differences = card_tables.against(comparison, own)
    if differences:
        yield from (
            "The student minus each of the others, case by case, seeds averaged within each case first:",
            "",
        )
        yield from (*differences, "")
    for heading, table in (
        ("Dice by class", classes.tabulate(own)),
        ("Lesions", lesions.tabulate(own)),
        ("Calibration", calibration.tabulate(own)),
    ):
        if table is not None:
            yield from (f"### {heading}", "", *card_tables.rendered(table), "")
    yield from ("### Worst cases", "", "Cases have numbers here, in the order of their names.", "")
    yield from (*card_tables.rendered(cases.tabulate(comparison, own, WORST)), "")
    yield from ("## Cost", "", *card_tables.rendered(costs.tabulate(own)), "")
    yield from ("## Limitations", "", *_limitations(own, everyone), "")
    yield from ("## How to reproduce", "", *commands(comparison), "", *recipe(student), "")
    yield from _licence(comparison)
    yield f"This card was made by segdistill {__version__} from the run folders."


def _what(student: Model) -> Iterator[str]:
    run, cost = student.run, student.cost
    size = ""
    if cost is not None and cost.parameters is not None:
        size = f" It has {cost.parameters / 1e6:.2f} M parameters"
        shape = " × ".join(map(str, cost.input))
        size += (
            f" and needs {cost.macs / 1e9:.2f} G multiply-adds for an input of {shape} (channels first)"
            if cost.macs and shape
            else ""
        )
        size += "."
    yield from ("## What it is", "")
    yield (
        f"A light network (`{run.network}`) for the segmentation of {plain(listing(run.classes) or 'images')}, trained "
        f"by knowledge distillation (recipe `{run.method}`).{size}"
    )
    seeds = len(student.evaluated)
    if seeds > 1:
        yield (
            f"The figures are means over {seeds} trainings that differ by their seed only, that is over {seeds} sets "
            "of weights. Where one of them is published, say which one beside these figures."
        )
    yield ""


def _use() -> Iterator[str]:
    yield from ("## Intended use", "")
    yield (
        "Research: to study distillation, to compare methods, and, for research, to segment images like those that it "
        "was trained on."
    )
    yield from ("", "## Not intended", "")
    for line in (
        "Diagnosis, planning of treatment, or any other decision about a patient. It is not a medical device, and "
        "nobody has cleared it for clinical use.",
        "Images of other scanners, protocols, body regions, ages or diseases than those of the data below: how it "
        "fails there was not measured.",
        "Use without a person who looks at every mask.",
    ):
        yield f"- {line}"
    yield ""


def _limitations(own: Evidence, everyone: Evidence) -> Iterator[str]:
    found = dict.fromkeys((*cautions.examine(own), *cautions.several_comparisons(everyone)))
    for one in found:
        yield f"- **{'Serious. ' if one.severity == 'serious' else ''}{plain(one.title)}.** {plain(one.text)}"
    yield "- **One data set.** Nothing here says how the student does on images of another hospital."
    yield "- **Bias.** Figures by age, sex, scanner or stage of disease were not computed."


def _licence(comparison: Comparison) -> Iterator[str]:
    theirs = "those of the teachers" if len(comparison.student.run.teachers) > 1 else "that of the teacher"
    yield from ("## Licence", "")
    yield (
        "**To be filled in by whoever publishes the weights.** It has to be allowed by the licence of the images and "
        f"by {theirs}: a distilled student is made from both. Then set `license` in the YAML at the top, which says "
        "`other` until somebody has decided."
    )
    yield ""
