"""`segdistill predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from segdistill.cli.arguments import Device
from segdistill.errors import SegdistillError
from segdistill.notes import note


def predict_command(
    run: Annotated[Path, typer.Argument(help="Run folder.", show_default=False)],
    images: Annotated[
        list[Path],
        typer.Argument(
            help="The files of one case, one a channel in the dataset's order, or one file with all of them.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Mask to write, such as mask.nii.gz.", show_default=False)
    ],
    site: Annotated[
        str | None,
        typer.Option(
            help="Where the images are from, if the network adapts to it.  [default: found in the first file's name]",
            show_default=False,
        ),
    ] = None,
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a mask that is there.")] = False,
) -> None:
    """Segment one case; the mask lies on exactly the grid of the first image, header included.

    **Example**

      segdistill predict runs/student CT.nii.gz PET.nii.gz --out mask.nii.gz
    """
    if out.exists() and not overwrite:
        raise SegdistillError(f"{out} exists: --overwrite replaces it, or choose another --out")
    from segdistill.run import Run

    opened = Run.open(run)
    from segdistill.evaluation.predict import Predictor, case_name

    predictor = Predictor.of(opened, device=device)
    site = site or predictor.site_of(case_name(images[0]))
    if site is None and predictor.adapts:
        note(
            f"the network adapts to the sites {', '.join(predictor.sites)}, and the name of the image tells none of "
            "them; all are taken as equally likely (--site names one)"
        )
    classes = predictor.write(images, out, site)
    found = ", ".join(f"{name} {count} voxels" for name, count in predictor.count(classes).items())
    Console(stderr=True).print(f"{out}: {found}", highlight=False, markup=False, soft_wrap=True)
