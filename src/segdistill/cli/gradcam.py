"""`segdistill gradcam`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from segdistill.cli.arguments import Device
from segdistill.errors import SegdistillError


def gradcam_command(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders, in the order of the columns: for example the student alone and the distilled one.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG to write.", show_default=False)],
    case: Annotated[
        str | None,
        typer.Option(
            help="Case with a label.  [default: the first run's first test case]", show_default=False
        ),
    ] = None,
    class_name: Annotated[
        str | None,
        typer.Option(
            "--class", help="Class (or region) to explain.  [default: the first]", show_default=False
        ),
    ] = None,
    stage: Annotated[
        str, typer.Option(help="Stage of every network, such as encoder/8 or decoder/1.")
    ] = "encoder/deepest",
    over: Annotated[
        Literal["predicted", "reference"],
        typer.Option(help="Voxels whose logits are explained: each network's own answer, or the reference."),
    ] = "predicted",
    teachers: Annotated[
        bool, typer.Option("--teachers", help="Show the teachers of the runs in front.")
    ] = False,
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a picture that is there.")] = False,
) -> None:
    """Show where several networks look for a class: Grad-CAM heat maps side by side on one slice.

    Each network sees one patch of its own size around the centre of the class, preprocessed as it was trained. The
    maps show what a stage contributes to an answer; they are no proof that the answer is right.

    **Example**

      segdistill gradcam runs/alone runs/hinton --teachers --class tumour --out gradcam.png
    """
    if out.suffix.lower() != ".png":
        raise SegdistillError(f"{out}: the picture is a PNG; choose an --out that ends in .png")
    if out.exists() and not overwrite:
        raise SegdistillError(f"{out} exists: --overwrite replaces it, or choose another --out")
    from segdistill.atomic import replacing
    from segdistill.report.explained import choose_class, columns, default_case, explain
    from segdistill.run import Run

    opened = [Run.open(path) for path in runs]
    shown = columns(opened, with_teachers=teachers)
    console = Console(stderr=True)

    def tell(text: str) -> None:
        console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)

    figure = explain(
        shown, case or default_case(opened[0]), choose_class([opened[0], *shown.values()], class_name),
        stage=stage, over=over, device=device, tell=tell,
    )  # fmt: skip
    with replacing(out) as temporary:
        temporary.write_bytes(figure.png)
    console.print(f"{out}: {figure.alt}", highlight=False, markup=False, soft_wrap=True)
