"""What has become of a study: how far it is, its report, and what is kept of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from segdistill.cli import exporting
from segdistill.cli.arguments import AsJson, Cases, GradCam
from segdistill.cli.study.arguments import Folder

if TYPE_CHECKING:
    from segdistill.report.shown import Shown
    from segdistill.study.folder import StudyFolder


def status_command(study: Folder, as_json: AsJson = False) -> None:
    """Which runs are done, running, failed (and why), stopped or waiting.

    **Example**

      segdistill study status studies/teach_former_table1
    """
    from segdistill.study.folder import StudyFolder
    from segdistill.study.watching import as_plain, table

    folder = StudyFolder.open(study)
    if as_json:
        print(json.dumps(as_plain(folder), ensure_ascii=False))
    else:
        Console().print(table(folder))


def report_command(
    study: Folder,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="[default: STUDY_FOLDER/report]", show_default=False)
    ] = None,
    images: Annotated[bool, typer.Option(help="Show images of cases.")] = True,
    cases: Cases = None,
    grad_cam: GradCam = False,
    export: exporting.Folder = None,
    formats: exporting.Formats = None,
    anonymous: exporting.Anonymous = False,
    overwrite: exporting.Overwrite = False,
) -> None:
    """The report over all runs that are done, while others still run, too.

    **Examples**

      segdistill study report studies/teach_former_table1

      segdistill study report studies/teach_former_table1 --export paper --format latex,csv
    """
    from segdistill.report.shown import Shown
    from segdistill.study.folder import StudyFolder
    from segdistill.study.report import done

    wanted = exporting.Export(export, formats, anonymous, overwrite)
    folder = StudyFolder.open(study)
    write_report(folder, out, Shown(images, tuple(cases or ()), grad_cam))
    wanted.write(done(folder))


def keep_command(
    study: Folder,
    out: Annotated[Path, typer.Argument(help="Where the small files go.", show_default=False)],
    images: Annotated[
        bool, typer.Option(help="Show images of cases in the report; not of sets that may not be passed on.")
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what was kept there before.")
    ] = False,
) -> None:
    """Keep what the tables and figures are made from, to commit or publish: no checkpoints, no places of this machine.

    Of each run that is done: recipe, splits, log, figures of merit by case, cost. `study report OUT` makes the report
    again from them.

    **Examples**

      segdistill study keep studies/teach_former_table1 results/table1

      segdistill study keep studies/ulcer results/ulcer --no-images --overwrite
    """
    from segdistill.study.folder import StudyFolder
    from segdistill.study.keep import keep

    kept = keep(StudyFolder.open(study), out, pictures=images, overwrite=overwrite)
    size = sum(file.stat().st_size for file in kept)
    Console(stderr=True).print(f"{len(kept)} files, {size / 1e6:.1f} MB", highlight=False)
    print(out)


def write_report(folder: StudyFolder, out: Path | None, shown: Shown | None = None) -> None:
    """Write the report; its first sentence, and how many runs it lacks, go to standard error."""
    from segdistill.study.report import report

    found = report(folder, out, shown=shown)
    console = Console(stderr=True)
    console.print(f"\n{found.verdict}\n", highlight=False, markup=False)
    if lacking := [name for name, status in folder.statuses().items() if status != "done"]:
        told = f"{', '.join(lacking[:4])}{', ...' if len(lacking) > 4 else ''}"
        console.print(
            f"note: {len(lacking)} of {len(folder.planned)} runs are not done and not in the report ({told})",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
    print(found.page)
