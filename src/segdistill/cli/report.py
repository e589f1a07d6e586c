"""`segdistill report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

EXPORTING = "Export"


def report_command(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders: students, baselines, teachers; seeds are joined.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for report.html and report.md.  [default: the first run]",
            show_default=False,
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            metavar="FOLDER",
            help="Also write the evidence here, for a spreadsheet, a paper, a program or a model hub. "
            "No file says where anything lies on this machine.",
            show_default=False,
            rich_help_panel=EXPORTING,
        ),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAMES",
            help="With commas. `csv`: models.csv and cases.csv. `latex`: table.tex, a booktabs table. `json`: "
            "evidence.json, which has a schema. `card`: MODEL_CARD.md of the best distilled student.  [default: all]",
            show_default=False,
            rich_help_panel=EXPORTING,
        ),
    ] = None,
    anonymous: Annotated[
        bool,
        typer.Option(
            "--anonymous",
            help="Numbers in place of the names of cases, which may tell who a patient is; the same in all files. "
            "The card never names any.",
            rich_help_panel=EXPORTING,
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace what an earlier export wrote; without it nothing is.",
            rich_help_panel=EXPORTING,
        ),
    ] = False,
) -> None:
    """Write one self-contained page that says what was gained and lost: words first, then table, figures, warnings.

    What a finished run lacks, figures on its test cases or its cost, is made up for first. With `--export` the same
    evidence is written for other hands, too.

    **Examples**

      segdistill report runs/teach_former runs/teach_former_alone runs/h_denseformer runs/swin_unetr runs/unetr

      segdistill report runs/hinton_seed? runs/alone_seed? runs/teacher --export evidence

      segdistill report runs/hinton runs/hinton_alone --export paper --format latex,csv --anonymous --overwrite
    """
    from segdistill.errors import SegdistillError

    if export is None and (formats is not None or anonymous or overwrite):
        raise SegdistillError(
            "--format, --anonymous and --overwrite say how to export; name a folder by --export"
        )
    names = _names(export, formats, overwrite)  # what cannot be exported is told before anything is scored
    from segdistill.finish import finish
    from segdistill.run import Run
    from segdistill.training.mlflow import log_scores

    opened = [Run.open(run) for run in runs]
    report = finish(opened, out)
    for run in opened:
        log_scores(run)
    console = Console(stderr=True)
    console.print(report.verdict, highlight=False, markup=False)
    print(report.page)
    if export is not None:
        _export(runs, export, names, console, asked=formats is not None, anonymous=anonymous)


def _names(folder: Path | None, formats: str | None, overwrite: bool) -> tuple[str, ...]:
    """The formats wanted.

    Raises:
        SegdistillError: one is unknown, or a file is there that may not be replaced.
    """
    if folder is None:
        return ()
    from segdistill.report.exports import FORMATS, chosen, must_be_free

    names = tuple(FORMATS) if formats is None else chosen(formats)
    if not overwrite:
        must_be_free(folder, names)
    return names


def _export(
    runs: list[Path], folder: Path, names: tuple[str, ...], console: Console, *, asked: bool, anonymous: bool
) -> None:
    """Write the files and name them; a card that nobody asked for by name is left out where there is no student."""
    from segdistill.report.evidence import gather
    from segdistill.report.exports import FORMATS, export

    evidence = gather(runs)
    if not asked and evidence.headline is None:
        names = tuple(name for name in names if not FORMATS[name].student_only)
        console.print(
            "no MODEL_CARD.md: none of these runs is a distilled student with scores", highlight=False
        )
    for path in export(evidence, folder, names, anonymous=anonymous, overwrite=True):
        print(path)
