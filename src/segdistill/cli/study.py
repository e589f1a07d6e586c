"""`segdistill study`: many runs as one."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from segdistill.cli import exporting
from segdistill.cli.arguments import AsJson, GradCam, recipe_from
from segdistill.cli.arguments import Words as RecipeWords
from segdistill.errors import SegdistillError

if TYPE_CHECKING:
    from segdistill.study.definition import Study
    from segdistill.study.folder import StudyFolder

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Tables of a paper from one file and one command: recipes x settings x folds x seeds, teachers and what they "
    "say made once, with statistics and a report.",
)
Folder = Annotated[
    Path, typer.Argument(metavar="STUDY_FOLDER", help="What `study run` made.", show_default=False)
]
Words = Annotated[
    list[str],
    typer.Argument(
        metavar="STUDY [RECIPE]... [KEY=VALUE]...",
        help="A study by name (`study list`) or its YAML file, then what is laid over the recipes of all its runs: "
        "YAML files such as tuned.yaml, and settings such as data.path=FOLDER train.epochs=50.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="The study's folder.  [default: studies/NAME]", show_default=False),
]
Profile = Annotated[
    str, typer.Option(help="Its size: `full`, or a smaller one that the study names, such as `tiny`.")
]


@app.command("list")
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


@app.command("run", no_args_is_help=True)
def run_command(
    words: Words,
    out: Out = None,
    profile: Profile = "full",
    jobs: Annotated[int, typer.Option(help="Runs at once on this machine.", min=1)] = 1,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Start again those that failed.")
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(help="Run on Ray: a cluster's address, or `local`.", show_default=False),
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
    """
    from segdistill.atomic import write_text
    from segdistill.study.expansion import expand
    from segdistill.study.folder import StudyFolder, counted
    from segdistill.study.local import Start, run_all, start_here
    from segdistill.study.reuse import reuse
    from segdistill.study.watching import Watch

    study = _study(words, profile)
    path = out or Path("studies") / study.name
    if plan:
        for one in expand(study, path):
            print(one.name + (f"  after {', '.join(one.needs)}" if one.needs else ""))
        return
    folder = StudyFolder.begin(path, study)
    write_text(folder.file("command.txt"), shlex.join(["segdistill", *sys.argv[1:]]) + "\n")
    for other in take or ():
        taken = reuse(folder, StudyFolder.open(other))
        Console(stderr=True).print(
            f"{len(taken)} runs taken over from {other}", highlight=False, markup=False
        )
    start: Start = start_here
    if ray is not None:
        from segdistill.study.on_ray import OnRay

        start = OnRay(None if ray == "local" else ray)
    with Watch(folder) as watch:
        run_all(folder, jobs=jobs, retry=retry_failed, start=start, look=watch.look)
    counts = counted(folder.statuses())
    if not no_report and counts.get("done"):
        _report(folder, None)
    if counts.get("done", 0) < len(folder.planned):
        Console(stderr=True).print(
            f"{counts.get('done', 0)} of {len(folder.planned)} runs are done, {counts.get('failed', 0)} failed: "
            f"segdistill study status {path}; --retry-failed starts those again",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
        raise typer.Exit(1)


@app.command("tune", no_args_is_help=True)
def tune_command(
    words: RecipeWords,
    trials: Annotated[int, typer.Option(help="In all, those of an earlier start too.", min=1)] = 20,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="[default: runs/tuning]", show_default=False)
    ] = None,
    affine: Annotated[bool, typer.Option(help="Also search small rotations and scaling.")] = True,
    as_json: AsJson = False,
) -> None:
    """Tune the student alone, so that the baseline has its best chance: learning rate and augmentation, by Optuna on
    the validation cases.

    The first trial has the recipe's own settings. Writes tuned.yaml, a protocol to lay over recipes and studies. Needs
    `pip install 'segdistill[tune]'`. The same command goes on with what was interrupted.

    **Examples**

      segdistill study tune student_alone data.path=Dataset101_Sarcoma student.preset=s1 --trials 20

      segdistill distill teach_former runs/tuning/tuned.yaml data.path=Dataset101_Sarcoma --baseline
    """
    from segdistill.study.tuning import tune

    console = Console(stderr=True)

    def look(done: int, value: float, best: float) -> None:
        console.print(
            f"trial {done}/{trials}: Dice {100 * value:.1f}, best {100 * best:.1f}", highlight=False
        )

    found = tune(recipe_from(words), out or Path("runs/tuning"), trials=trials, affine=affine, look=look)
    if as_json:
        print(
            json.dumps(
                {"file": str(found.file), "best": found.best, "before": found.before, "trials": found.trials}
            )
        )
        return
    console.print(
        f"validation Dice {100 * found.before:.1f} before, {100 * found.best:.1f} after {found.trials} trials",
        highlight=False,
    )
    print(found.file)


@app.command("status", no_args_is_help=True)
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


@app.command("report", no_args_is_help=True)
def report_command(
    study: Folder,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="[default: STUDY_FOLDER/report]", show_default=False)
    ] = None,
    images: Annotated[bool, typer.Option(help="Show images of cases.")] = True,
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
    from segdistill.study.folder import StudyFolder
    from segdistill.study.report import done

    wanted = exporting.Export(export, formats, anonymous, overwrite)
    folder = StudyFolder.open(study)
    _report(folder, out, images=images, grad_cam=grad_cam)
    wanted.write(done(folder))


@app.command("keep", no_args_is_help=True)
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


@app.command("slurm", no_args_is_help=True)
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

    study = _study(words, profile)
    folder = StudyFolder.begin(out or Path("studies") / study.name, study)
    print(write_arrays(folder, option or (), at_once=at_once, command=command)[-1])


@app.command("perform", no_args_is_help=True)
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


def _study(words: list[str], profile: str) -> Study:
    """The study that the words of the command line name, with what they lay over the recipes of its runs."""
    from segdistill.study.definition import load

    sources = [word for word in words if "=" not in word or Path(word).is_file()]
    if not sources:
        raise SegdistillError("name a study first (see `segdistill study list`), then KEY=VALUE")
    overrides = [word for word in words if word not in sources]
    return load(sources[0], profile=profile, layers=sources[1:], overrides=overrides)


def _report(folder: StudyFolder, out: Path | None, *, images: bool = True, grad_cam: bool = False) -> None:
    from segdistill.study.report import report

    found = report(folder, out, pictures=images, grad_cam=grad_cam)
    console = Console(stderr=True)
    console.print(f"\n{found.verdict}\n", highlight=False, markup=False)
    if lacking := [name for name, status in folder.statuses().items() if status != "done"]:
        told = f"{', '.join(lacking[:4])}{', ...' if len(lacking) > 4 else ''}"
        console.print(
            f"note: {len(lacking)} of {len(folder.planned)} runs are not done and not in the report ({told})",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
    print(found.page)
