"""`segdistill report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from segdistill.cli import exporting
from segdistill.cli.arguments import Cases, GradCam


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
    cases: Cases = None,
    grad_cam: GradCam = False,
    export: exporting.Folder = None,
    formats: exporting.Formats = None,
    anonymous: exporting.Anonymous = False,
    overwrite: exporting.Overwrite = False,
) -> None:
    """Write one self-contained page that says what was gained and lost: words first, then table, figures, warnings.

    What a finished run lacks, figures on its test cases or its cost, is made up for first. With `--export` the same
    evidence is written for other hands, too.

    **Examples**

      segdistill report runs/teach_former runs/teach_former_alone runs/h_denseformer runs/swin_unetr runs/unetr

      segdistill report runs/hinton_seed? runs/alone_seed? runs/teacher --export evidence

      segdistill report runs/hinton runs/hinton_alone --export paper --format latex,csv --anonymous --overwrite
    """
    wanted = exporting.Export(export, formats, anonymous, overwrite)
    from segdistill.finish import finish
    from segdistill.report.shown import Shown
    from segdistill.run import Run

    report = finish(
        [Run.open(run) for run in runs], out, shown=Shown(cases=tuple(cases or ()), grad_cam=grad_cam)
    )
    Console(stderr=True).print(report.verdict, highlight=False, markup=False)
    print(report.page)
    wanted.write(runs)
