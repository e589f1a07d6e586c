"""Studies to choose from, and their runs: here, on Ray, or as job arrays."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from segdistill.cli.arguments import AsJson
from segdistill.cli.study.arguments import Folder, Out, Profile, Words, asked
from segdistill.cli.study.results import write_report
from segdistill.errors import SegdistillError

if TYPE_CHECKING:
    from segdistill.study.local import Start


def list_command(as_json: AsJson = False) -> None:
    """The studies that come with segdistill, and how many runs each has.

    **Example**

      segdistill study list
    """
    from rich.table import Table

    from segdistill.study.definition import load, shipped
    from segdistill.study.expansion import expand

    rows: list[dict[str, Any]] = []
    for name in shipped():
        study = load(name)
        rows.append(
            {
                "name": name,
                "summary": study.summary,
                "reference": study.reference,
                "runs": len(expand(study, Path(name))),
                "profiles": ["full", *study.profiles],
            }
        )
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    table = Table()
    for column in ("name", "summary", "runs", "profiles"):
        table.add_column(column)
    for row in rows:
        table.add_row(*(str(row[key]) for key in ("name", "summary", "runs")), ", ".join(row["profiles"]))
    Console().print(table)


def run_command(
    words: Words,
    out: Out = None,
    profile: Profile = "full",
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Runs at once.  [default: 1; on Ray all whose teachers are done]", min=1, show_default=False
        ),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Start again those that failed.")
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(help="Run on Ray: a cluster's address, or `local`.", show_default=False),
    ] = None,
    ray_cpus: Annotated[
        float | None,
        typer.Option(help="Cores that a run takes on Ray.  [default: 1]", min=0, show_default=False),
    ] = None,
    ray_gpus: Annotated[
        float | None,
        typer.Option(
            help="GPUs that a run takes on Ray, such as 1 or 0.5; it sees no others.  [default: 0]",
            min=0,
            show_default=False,
        ),
    ] = None,
    take: Annotated[
        list[Path] | None,
        typer.Option(
            "--reuse",
            metavar="STUDY_FOLDER",
            help="Take over runs that another study has made already, such as its teachers; may be repeated.",
            show_default=False,
        ),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only tell which runs there would be.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Leave out the report.")] = False,
) -> None:
    """Run a study, or go on with one that was interrupted: the same command again.

    Every run lies in its own folder under STUDY_FOLDER/runs. Images are preprocessed once, teachers trained once, and
    what they say is recorded once. A run that fails does not stop the others. Ends with the report.

    **Examples**

      segdistill study run teach_former_table1 --profile tiny

      segdistill study run teach_former_table1 data.path=Dataset101_Sarcoma --out studies/sarcoma --jobs 2

      segdistill study run teach_former_table3 data.path=Dataset101_Sarcoma --reuse studies/sarcoma

      segdistill study run labels data.path=/shared/Dataset101_Sarcoma --ray 10.0.0.1:6379 --ray-cpus 4 --ray-gpus 1
    """
    from segdistill.study.expansion import expand
    from segdistill.study.folder import StudyFolder, counted
    from segdistill.study.local import run_all
    from segdistill.study.reuse import reuse
    from segdistill.study.watching import Watch

    if ray is None and (ray_cpus is not None or ray_gpus is not None):
        raise SegdistillError("--ray-cpus and --ray-gpus say what a run takes on Ray; say --ray ADDRESS, too")
    study = asked(words, profile)
    path = out or Path("studies") / study.name
    if plan:
        for one in expand(study, path):
            print(one.name + (f"  after {', '.join(one.needs)}" if one.needs else ""))
        return
    folder = StudyFolder.begin(path, study, shlex.join(["segdistill", *sys.argv[1:]]))
    for other in take or ():
        taken = reuse(folder, StudyFolder.open(other))
        Console(stderr=True).print(
            f"{len(taken)} runs taken over from {other}", highlight=False, markup=False
        )
    start = _start(ray, ray_cpus, ray_gpus)
    if jobs is None and ray is None:
        jobs = 1
    with Watch(folder) as watch:
        run_all(folder, jobs=jobs, retry=retry_failed, start=start, look=watch.look)
    counts = counted(folder.statuses())
    if not no_report and counts.get("done"):
        write_report(folder, None)
    if counts.get("done", 0) < len(folder.planned):
        Console(stderr=True).print(
            f"{counts.get('done', 0)} of {len(folder.planned)} runs are done, {counts.get('failed', 0)} failed: "
            f"segdistill study status {path}; --retry-failed starts those again",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
        raise typer.Exit(1)


def _start(ray: str | None, cpus: float | None, gpus: float | None) -> Start:
    """Where runs are started: here, or on Ray."""
    from segdistill.study.local import start_here

    if ray is None:
        return start_here
    from segdistill.study.on_ray import OnRay

    return OnRay(None if ray == "local" else ray, cpus=1 if cpus is None else cpus, gpus=gpus or 0)


def slurm_command(
    words: Words,
    out: Out = None,
    profile: Profile = "full",
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="Of sbatch, such as --option=--time=12:00:00; may be repeated.", show_default=False
        ),
    ] = None,
    at_once: Annotated[
        int | None, typer.Option(help="Tasks at the same time.", min=1, show_default=False)
    ] = None,
    command: Annotated[str, typer.Option(help="What starts segdistill on a node.")] = "segdistill",
) -> None:
    """Write the study as SLURM job arrays (teachers first), and a script that submits them.

    **Example**

      segdistill study slurm teach_former_table1 data.path=/data/Dataset101 --option=--gres=gpu:1
    """
    from segdistill.study.folder import StudyFolder
    from segdistill.study.slurm import write_arrays

    study = asked(words, profile)
    folder = StudyFolder.begin(out or Path("studies") / study.name, study)
    print(write_arrays(folder, option or (), at_once=at_once, command=command)[-1])


def perform_command(
    study: Folder,
    run: Annotated[str, typer.Argument(help="Name of the run.", show_default=False)],
) -> None:
    """Make one run of a study: what `study run`, SLURM and Ray start for each.

    **Example**

      segdistill study perform studies/teach_former_table1 taught_s1_seed0
    """
    from segdistill.study.folder import StudyFolder
    from segdistill.study.perform import perform

    perform(StudyFolder.open(study), run)
