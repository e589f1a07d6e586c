"""`segdistill report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


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
) -> None:
    """Write one self-contained page that says what was gained and lost: words first, then table, figures, warnings.

    What a finished run lacks, figures on its test cases or its cost, is made up for first.

    **Example**

      segdistill report runs/teach_former runs/teach_former_alone runs/h_denseformer runs/swin_unetr runs/unetr
    """
    from segdistill.finish import finish
    from segdistill.run import Run

    report = finish([Run.open(run) for run in runs], out)
    Console(stderr=True).print(report.verdict, highlight=False, markup=False)
    print(report.page)
