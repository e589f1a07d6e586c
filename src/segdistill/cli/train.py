"""`segdistill train` and `segdistill distill`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from segdistill.cli.arguments import Out, Overwrite, Resume, Trust, Words, if_exists, recipe_from
from segdistill.errors import SegdistillError

if TYPE_CHECKING:
    from segdistill.run import Run

NoReport = Annotated[bool, typer.Option("--no-report", help="Leave out evaluation and report.")]


def train_command(
    words: Words,
    out: Out = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    no_report: NoReport = False,
) -> None:
    """Train one network alone: a teacher, or the student's baseline.

    Images are read in nnU-Net raw, Decathlon or paired-folder layout, preprocessed once, and split by patient. The best
    checkpoint on the validation cases is then scored on the test cases.

    **Examples**

      segdistill train student_alone data.path=Dataset101_Sarcoma

      segdistill train student_alone data.path=Task04_Hippocampus student.channels=[32,64,128] --out runs/teacher
    """
    recipe = recipe_from(words)
    if recipe.terms:
        raise SegdistillError(
            f"recipe {recipe.name!r} distils: use `segdistill distill`, or the recipe student_alone"
        )
    from segdistill.training.train import train

    run = train(recipe, out or Path("runs") / recipe.name, if_exists=if_exists(resume, overwrite))
    _finish([run], no_report)


def distill_command(
    words: Words,
    out: Out = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    baseline: Annotated[
        bool,
        typer.Option(
            "--baseline", help="Also train the same student alone with the same budget, in OUT_alone."
        ),
    ] = False,
    trust: Trust = False,
    no_report: NoReport = False,
) -> None:
    """Distil teachers into a light student.

    RECIPE is a method by name (`segdistill list recipes`). Teachers are runs of `segdistill train`, named by
    teachers.NAME.run=FOLDER, or trained models of any other kind, named by teachers.NAME.path=PLACE (nnU-Net results
    folder, MONAI bundle, ONNX, ...: `segdistill list sources`). A run that does not exist yet is trained first where
    the recipe gives its network. Some methods have teachers that learn meanwhile, or none but the student itself.

    What trained teachers say about each case is computed once and kept (`segdistill cache --help`), where that is right
    and fits the disk; the log says which of them answer in every step, and why. Ends with a report.

    **Examples**

      segdistill distill hinton data.path=Task04_Hippocampus teachers.teacher.run=runs/teacher --baseline

      segdistill distill hinton data.path=Dataset101_Sarcoma teachers.mine.path=nnUNet_results/Dataset101/FOLDER

      segdistill distill teach_former data.path=Dataset101_Sarcoma train.precision=bf16-mixed
    """
    recipe, mode = recipe_from(words), if_exists(resume, overwrite)
    from segdistill.run import Run
    from segdistill.training.distill import alone, distill

    out = out or Path("runs") / recipe.name
    out_alone = out.with_name(f"{out.name}_alone")
    if baseline:
        Run(out_alone).must_suit(mode)  # told before the student is trained, not after
    run = distill(recipe, out, if_exists=mode, trust=trust)
    runs = [run]
    if baseline:
        runs.append(
            alone(run.recipe, out_alone, if_exists=mode)
        )  # the patch and the student that it settled on
    _finish(runs, no_report)


def _finish(runs: list[Run], no_report: bool) -> None:
    """Score the runs and their teachers, and write the report beside the first."""
    import os

    if any(os.environ.get(rank, "0") != "0" for rank in ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK")):
        return  # one of several processes, and not the first
    console = Console(stderr=True)
    if no_report:
        console.print(
            f"run: {runs[0].path}  (next: segdistill evaluate {runs[0].path})", highlight=False, markup=False
        )
        return
    from segdistill.finish import finish

    report = finish(runs)
    console.print(f"\n{report.verdict}\n", highlight=False, markup=False)
    console.print(
        f"run:    {runs[0].path}\nreport: {report.page}", highlight=False, markup=False, soft_wrap=True
    )
