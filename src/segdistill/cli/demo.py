"""`segdistill demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from segdistill.cli.arguments import Overwrite, Resume, if_exists


def demo_command(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for data, runs and report.")] = Path(
        "runs/demo"
    ),
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """The whole job in minutes on a laptop's CPU, without any data of your own.

    Synthetic PET/CT/MR patients; three small teachers of different families; a light student trained alone; the same
    student taught by all three (Teach-Former); a report. The figures show that it works, not how well.

    **Example**

      segdistill demo --out runs/demo
    """
    from segdistill.demo import demonstrate

    report = demonstrate(out, if_exists(resume, overwrite))
    console = Console()
    console.print(f"\n{report.verdict}\n", highlight=False, markup=False)
    paths = f"report: {report.page.resolve()}\nruns:   {out.resolve()}"
    console.print(paths, highlight=False, markup=False, soft_wrap=True)
