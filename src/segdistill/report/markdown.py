"""The report as Markdown, its figures as files beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from segdistill.report.figures import Figure, Missing
from segdistill.report.page import Page
from segdistill.report.tables import Cell, Column, Table
from segdistill.report.verdict import Verdict


def render(page: Page, figures: str = "figures") -> str:
    """The page as Markdown; `figures` is the folder of the figures, as seen from the file."""
    return "\n".join(_lines(page, figures)).rstrip() + "\n"


def _lines(page: Page, figures: str) -> Iterator[str]:
    yield from (f"# {plain(page.title)}", "", plain(page.subtitle), "")
    for word, text in page.about.facts if page.about else ():
        yield from (f"{word}: {plain(text)}", "")
    if page.overall:
        yield from (f"**{plain(page.overall)}**", "")
    for one in page.told:
        yield from _judged(one, "**")
    if page.folded:
        yield from (f"The other {len(page.folded)} students, one by one:", "")
    for one in page.folded:
        yield from _judged(one)
    if page.serious:
        titles = ", ".join(dict.fromkeys(caution.title for caution in page.serious)).lower()
        yield from (f"Read the serious warnings before believing the figures: {plain(titles)}.", "")
    if not isinstance(page.differences, Missing):
        yield from _figure(page.differences, figures)
    yield from ("## Warnings", "")
    for caution in page.cautions:
        mark = "Serious. " if caution.severity == "serious" else ""
        yield f"- **{mark}{plain(caution.title)}.** {plain(caution.text)}"
    if not page.cautions:
        yield "None of the checks found anything."
    yield from ("", "## Results", "", *_table(page.models))
    if page.classes:
        yield from ("### Dice by class", "", *_table(page.classes))
    if page.sites:
        yield from ("### Dice by site", "", *_table(page.sites))
    if page.comparisons:
        yield from ("## Comparisons", "", *_quietly(page.brackets, figures), *_table(page.comparisons))
    if page.comparisons and page.ranking:
        yield from ("### Stability of the ranking", "", *_table(page.ranking))
    yield from ("## Figures", "", *_quietly(page.trend, figures))
    for figure in (page.size, page.slopes):
        yield from _figure(figure, figures)
    yield from ("## Cases", "")
    if not isinstance(page.overlays, Missing):
        yield from (plain(page.overlay_note), "")
    for picture in (page.overlays,) if isinstance(page.overlays, Missing) else page.overlays:
        yield from _figure(picture, figures)
    if page.explained is not None:
        yield from _figure(page.explained, figures)
    if page.worst:
        yield from (
            "## Worst cases" if page.every_case else "## All cases, the worst first",
            "",
            *_table(page.worst),
        )
    if page.lesions:
        yield from ("## Lesions", "", *_table(page.lesions), *_quietly(page.lesion_size, figures))
    if page.calibration:
        yield from ("## Calibration", "", *_table(page.calibration), *_quietly(page.reliability, figures))
    if page.curves:
        yield from ("## Training", "")
    for curve in page.curves:
        yield from _figure(curve, figures)
    yield from ("## Cost", "", *_table(page.costs), *_quietly(page.stages, figures))
    yield from ("## How to reproduce", "", plain(page.data), "")
    if page.about and page.about.command:
        yield from ("The whole study:", "", *_code(page.about.command), "")
    for step in page.steps:
        about = ", ".join(filter(None, (f"seed {step.seed}" if step.seed else "", step.started, step.took)))
        yield from (
            f"{plain(step.name)} ({plain(about)})",
            "",
            *_code(step.command or "(command not recorded)"),
            "",
            *((plain(step.answers), "") if step.answers else ()),
        )
    for machine in page.machines:
        yield "- " + plain(", ".join(f"{key} {value}" for key, value in machine.items()))


def plain(text: str) -> str:
    """Text in which Markdown and HTML mean nothing."""
    one_line = " ".join(text.split())
    return re.sub(r"([\\`*_{}\[\]<>#|$~&!])", r"\\\1", one_line)


def _code(text: str) -> list[str]:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence, text, fence]


def _figure(figure: Figure | Missing, folder: str) -> Iterator[str]:
    if isinstance(figure, Missing):
        yield from (f"*{plain(figure.title)}: left out, because {plain(figure.reason)}.*", "")
    else:
        yield from (f"![{plain(figure.alt)}]({folder}/{figure.name}.png)", "", plain(figure.caption), "")


def _quietly(figure: Figure | Missing, folder: str) -> Iterator[str]:
    """A figure that is not missed where it cannot be made."""
    if not isinstance(figure, Missing):
        yield from _figure(figure, folder)


def _judged(one: Verdict, strong: str = "") -> Iterator[str]:
    yield from (f"{strong}{plain(one.sentence)}{strong}", "")
    for detail in one.details:
        yield from (plain(detail), "")
    if one.command:
        yield from ("To get what is missing:", "", *_code(one.command), "")


def _table(table: Table) -> Iterator[str]:
    titles = [plain(f"{column.title} {column.best}") for column in table.columns]
    yield "| " + " | ".join(titles) + " |"
    yield "|" + "|".join("--:" if column.numeric else "---" for column in table.columns) + "|"
    for group in table.groups:
        if group.title:
            yield f"| **{plain(group.title)}** |" + " |" * (len(titles) - 1)
        for row in group.rows:
            cells = [_cell(column, cell) for column, cell in zip(table.columns, row.cells, strict=True)]
            yield "| " + " | ".join(cells) + " |"
    yield ""
    for note in table.notes:
        yield from (plain(note), "")


def _cell(column: Column, cell: Cell) -> str:
    if not cell.extra:
        return plain(cell.text)
    return f"{plain(cell.text)} {plain(cell.extra) if column.numeric else f'({plain(cell.extra)})'}"
