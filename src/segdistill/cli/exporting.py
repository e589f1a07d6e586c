"""The options by which a report is exported, and what they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from segdistill.errors import SegdistillError

PANEL = "Export"

Folder = Annotated[
    Path | None,
    typer.Option(
        "--export",
        metavar="FOLDER",
        help="Also write the evidence here, for a spreadsheet, a paper, a program or a model hub. "
        "No file says where anything lies on this machine.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
Formats = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAMES",
        help="With commas. `csv`: models.csv and cases.csv. `latex`: table.tex, a booktabs table. `json`: "
        "evidence.json, which has a schema. `card`: MODEL_CARD.md of the best distilled student.  [default: all]",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
Anonymous = Annotated[
    bool,
    typer.Option(
        "--anonymous",
        help="Numbers in place of the names of cases, which may tell who a patient is; the same in all files. "
        "The card never names any.",
        rich_help_panel=PANEL,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace what an earlier export wrote; without it nothing is.",
        rich_help_panel=PANEL,
    ),
]


@dataclass(frozen=True)
class Export:
    """What is to be exported; nothing where no folder was named. Faults are told when it is made, before any work.

    Raises:
        SegdistillError: an option without a folder, an unknown format, or a file that may not be replaced.
    """

    folder: Path | None
    formats: str | None
    anonymous: bool
    overwrite: bool

    def __post_init__(self) -> None:
        if self.folder is None:
            if self.formats is not None or self.anonymous or self.overwrite:
                raise SegdistillError(
                    "--format, --anonymous and --overwrite say how to export; name a folder by --export"
                )
            return
        from segdistill.report.exports import must_be_free

        names = self._names  # an unknown format is told now
        if not self.overwrite:
            must_be_free(self.folder, names)

    @property
    def _names(self) -> tuple[str, ...]:
        from segdistill.report.exports import FORMATS, chosen

        return tuple(FORMATS) if self.formats is None else chosen(self.formats)

    def write(self, runs: Sequence[Path]) -> None:
        """Write the files and name them; a card that nobody asked for by name is left out without a student."""
        if self.folder is None:
            return
        from segdistill.report.exports import FORMATS, export
        from segdistill.report.gather import gather

        evidence, names = gather(runs), self._names
        if self.formats is None and evidence.headline is None:
            names = tuple(name for name in names if not FORMATS[name].student_only)
            Console(stderr=True).print(
                "no MODEL_CARD.md: none of these runs is a distilled student with scores", highlight=False
            )
        for path in export(evidence, self.folder, names, anonymous=self.anonymous, overwrite=True):
            print(path)
