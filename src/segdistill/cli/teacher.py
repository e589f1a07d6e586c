"""`segdistill teacher inspect`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from segdistill.cli.arguments import AsJson, Trust

app = typer.Typer(no_args_is_help=True, help="Look at a trained model before it teaches.")


@app.command("inspect", no_args_is_help=True)
def inspect_command(
    path: Annotated[
        Path, typer.Argument(help="Run, nnU-Net folder, MONAI bundle, ONNX file, ...", show_default=False)
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="How it is read, as in teachers.NAME.source: type=nnunet folds=[0,1] checkpoint=best.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="Voxels of a window, 64,64,64, where the model does not say.", show_default=False),
    ] = None,
    channels: Annotated[
        int | None,
        typer.Option(min=1, help="Image channels, where the model does not say.", show_default=False),
    ] = None,
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    """What a trained model sees and knows, and its stages by side and stride: the names for feature terms.

    **Examples**

      segdistill teacher inspect runs/teacher

      segdistill teacher inspect nnUNet_results/Dataset101/nnUNetTrainer__nnUNetPlans__3d_fullres folds=[0]

      segdistill teacher inspect teacher.pt2 --size 64,64,64 --trust
    """
    from segdistill.composition import merge, parse_override
    from segdistill.errors import SegdistillError
    from segdistill.teachers.inspection import inspect
    from segdistill.teachers.sources import kind_of, opened

    part: dict[str, object] = {}
    for word in settings or ():
        part = merge(part, parse_override(word))
    kind = str(part.setdefault("type", kind_of(path, "teacher") if "type" not in part else part["type"]))
    try:
        window = None if size is None else [int(n) for n in size.split(",")]
    except ValueError:
        raise SegdistillError(f"--size: {size!r} is no list of voxels such as 64,64,64") from None
    found = inspect(kind, opened(path, part, "teacher", trust=trust), window=window, channels=channels)
    if as_json:
        print(json.dumps(found.to_dict(), ensure_ascii=False))
        return
    console = Console()
    facts = {
        "kind": found.kind,
        "network": None if found.network is None else f"{found.network}, {found.parameters:,} parameters",
        "channels": found.channels and ", ".join(found.channels),
        "classes": found.classes and ", ".join(found.classes) + (" (overlapping)" if found.regions else ""),
        "window": found.window and " x ".join(map(str, found.window)),
        "validation Dice": None if found.score is None else f"{found.score:.3f}",
        "trained on": f"{found.trained_on} cases" if found.trained_on else None,
    }
    for key, value in facts.items():
        console.print(f"{key:16}{value or 'not said'}", highlight=False, markup=False, soft_wrap=True)
    if not found.stages:
        console.print("it is no network: only its logits can be learnt from", highlight=False)
        return
    if found.by_shape:
        console.print("stages, named by the sizes of its maps:", highlight=False)
    table = Table()
    table.add_column("stage")
    table.add_column("channels", justify="right")
    table.add_column("stride", justify="right")
    for row in found.stages:
        table.add_row(row.name, str(row.channels), " x ".join(map(str, row.stride)))
    console.print(table)
