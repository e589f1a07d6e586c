"""The page of all other parts of a recipe."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segdistill.catalogue import rows
from segdistill.data import LAYOUTS
from segdistill.data.intensity import INTENSITIES
from segdistill.parts import class_of
from segdistill.projectors import PROJECTORS
from segdistill.reference.markdown import contents, document, prose
from segdistill.reference.settings import described
from segdistill.schedules import WEIGHTS
from segdistill.teachers.combination import COMBINATIONS
from segdistill.training.optimization import OPTIMIZERS, SCHEDULES
from segdistill.where import WHERE


@dataclass(frozen=True)
class Chapter:
    """A table of parts.

    Attributes:
        what: its name in `segdistill list`.
        word: what stands before the name of each part in its heading.
        know: what to know first.
    """

    what: str
    word: str
    table: Mapping[str, Any]
    know: str


CHAPTERS = (
    Chapter("projectors", "projector", PROJECTORS,
            "Bring maps of different width together: `terms.NAME.projector`. They are trained with the student and "
            "never exported."),
    Chapter("where", "where", WHERE,
            "Spatial weights, which say at which voxels a term counts: `terms.NAME.where`."),
    Chapter("combinations", "combine", COMBINATIONS,
            "What each of several teachers counts: `combine`."),
    Chapter("weights", "weight", WEIGHTS,
            "Schedules of a term's weight over the epochs: `terms.NAME.weight`; a number alone is a constant. For "
            "example `weight: {type: linear, start: 0, end: 1, epochs: 20}`."),
    Chapter("optimizers", "optimizer", OPTIMIZERS,
            "What changes the student: `train.optimizer`."),
    Chapter("schedules", "schedule", SCHEDULES,
            "Factors of the learning rate over the epochs: `train.schedule`."),
    Chapter("intensities", "intensity", INTENSITIES,
            "What becomes of the numbers of an image channel: `data.channels`, for example "
            "`CT: {type: window, low: -200, high: 300}`; guessed from the channel's name where none is given."),
    Chapter("layouts", "layout", LAYOUTS,
            "How images and labels lie in a folder: `data.layout`; found out where none is given."),
)  # fmt: skip


def page() -> str:
    """Every table in a chapter of its own."""
    found, blocks = [], []
    for chapter in CHAPTERS:
        blocks += [f"## {chapter.what.capitalize()}", chapter.know]
        for row in rows(chapter.what):
            found.append({**row, "anchor": f"{chapter.word}-{row['name']}"})
            blocks.append(f"### {chapter.word}: {row['name']}")
            entry = chapter.table[row["name"]]
            blocks += _layout(entry) if chapter.what == "layouts" else _part(entry, row["reference"])
    return document("Parts", contents(found, "kind"), *blocks)


def _layout(entry: Any) -> list[str]:
    """A layout has no settings; the file that reads it says what it is."""
    return [prose(inspect.getdoc(inspect.getmodule(entry.read)) or "")]


def _part(entry: Any, reference: str) -> list[str]:
    source = [f"Source: {prose(reference)}"] if reference else []
    always = ["It is used where the widths agree, too."] if getattr(entry, "always", False) else []
    return [*source, *described(class_of(entry)), *always]
