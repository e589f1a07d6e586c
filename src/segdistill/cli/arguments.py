"""What several commands ask for in the same words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segdistill.errors import SegdistillError

if TYPE_CHECKING:
    from segdistill.recipe import Recipe
    from segdistill.run import IfExists

Words = Annotated[
    list[str],
    typer.Argument(
        metavar="RECIPE... [KEY=VALUE]...",
        help="One or more recipes (shipped names, YAML files or run folders; later ones win), then overrides such as "
        "data.path=FOLDER train.epochs=50 student.type=unet.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="Run folder.  [default: runs/RECIPE]", show_default=False)
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a run that is there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Let files that teachers come from run code: a MONAI bundle's expressions, a torch.export program, a "
        "pickle with more than weights. Only for files of people whom you trust.",
    ),
]
GradCam = Annotated[
    bool,
    typer.Option(
        "--grad-cam",
        help="Also show where teacher, student alone and distilled student look on one case (Grad-CAM).",
    ),
]
Cases = Annotated[
    list[str] | None,
    typer.Option(
        "--case",
        metavar="NAME",
        help="Show this case instead of the best, the median and the worst; may be repeated.",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]


def recipe_from(words: list[str]) -> Recipe:
    """The recipe that the words of the command line compose."""
    from segdistill.recipe import Recipe

    sources, overrides = sorted_out(words)
    if not sources:
        raise SegdistillError(
            "name a recipe first (see `segdistill list recipes`), for example: student_alone data.path=FOLDER"
        )
    return Recipe.load(*sources, overrides=overrides)


def sorted_out(words: list[str]) -> tuple[list[str], list[str]]:
    """What the words of a command line name (recipes, studies, files), and the settings KEY=VALUE among them."""
    sources = [word for word in words if "=" not in word or Path(word).is_file()]
    return sources, [word for word in words if word not in sources]


def if_exists(resume: bool, overwrite: bool) -> IfExists:
    """What to do with a folder that is there."""
    if resume and overwrite:
        raise SegdistillError(
            "--resume and --overwrite exclude each other: go on with what is there, or replace it"
        )
    return "resume" if resume else "overwrite" if overwrite else "fail"
