"""`segdistill data check` and `segdistill data phantom`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from segdistill.cli.arguments import AsJson, Overwrite

app = typer.Typer(no_args_is_help=True, help="Check a dataset, or make a synthetic one.")

STYLES = {"error": "red", "warning": "yellow", "note": "dim"}


@app.command("check", no_args_is_help=True)
def check_command(
    path: Annotated[Path, typer.Argument(help="Dataset folder.", show_default=False)],
    layout: Annotated[
        str | None, typer.Option(help="Layout, where it is not detected (`segdistill list layouts`).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at every file of a dataset before hours are spent on it. Exit code 2 where there are errors.

    Reports, case by case: missing or mismatched files, grids that differ between channels or label, undeclared label
    values, NaN, empty labels, identical images in two splits.

    **Example**

      segdistill data check Dataset101_Sarcoma
    """
    from segdistill.data.check import check

    findings = check(path, layout)
    if as_json:
        rows = [
            {"severity": f.severity, "case": f.case, "file": f.file and str(f.file), "message": f.message}
            for f in findings
        ]
        print(json.dumps(rows, ensure_ascii=False))
    else:
        console = Console()
        for finding in findings:
            case = f"{finding.case}: " if finding.case else ""
            console.print(
                f"{finding.severity:8}{case}{finding.message}",
                style=STYLES[finding.severity],
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
        errors = sum(finding.severity == "error" for finding in findings)
        warnings = sum(finding.severity == "warning" for finding in findings)
        console.print(
            f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}",
            style="red" if errors else "green",
            highlight=False,
        )
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(2)


@app.command("phantom", no_args_is_help=True)
def phantom_command(
    out: Annotated[Path, typer.Argument(help="Folder to make.", show_default=False)],
    patients: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 12,
    size: Annotated[tuple[int, int, int], typer.Option(help="Voxels along x, y, z.")] = (64, 64, 48),
    modalities: Annotated[str, typer.Option(help="Of CT, PET and MR, separated by commas.")] = "CT,PET,MR",
    sites: Annotated[
        int, typer.Option(min=1, help="Hospitals, each with its own contrast, noise and spacing.")
    ] = 1,
    difficulty: Annotated[
        float, typer.Option(min=0, max=1, help="0: tumours shine; 1: faint, small, hidden in one modality.")
    ] = 0.5,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same patients.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Make synthetic PET/CT/MR patients with tumours, as an nnU-Net raw dataset.

    **Example**

      segdistill data phantom Dataset900_Phantom --patients 24 --modalities CT,PET
    """
    from segdistill.data.phantom import make_phantom

    names = tuple(name.strip() for name in modalities.split(","))
    print(
        make_phantom(
            out,
            patients=patients,
            size=size,
            modalities=names,
            sites=sites,
            difficulty=difficulty,
            seed=seed,
            overwrite=overwrite,
        )
    )
