"""`segdistill cost`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from segdistill.cli.arguments import AsJson
from segdistill.errors import SegdistillError


def cost_command(
    targets: Annotated[
        list[str],
        typer.Argument(
            help="Networks, presets (`segdistill list presets`) or run folders.", show_default=False
        ),
    ],
    size: Annotated[
        str | None,
        typer.Option(
            help="Voxels of the input, such as 144,144,144 or 384,384.  [default: a run's patch, or 64,64,64]",
            show_default=False,
        ),
    ] = None,
    channels: Annotated[int, typer.Option(min=1, help="Input channels (a run knows its own).")] = 2,
    classes: Annotated[int, typer.Option(min=1, help="Output channels (a run knows its own).")] = 2,
    latency: Annotated[
        bool,
        typer.Option(
            "--latency/--count-only", help="Also time forward passes of batch 1, which allocates the network."
        ),
    ] = True,
    repeats: Annotated[int, typer.Option(min=1, help="Timed forward passes.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Parameters, multiply-adds, latency and memory of networks.

    GMACs are given twice: true (torch's counter), and in the convention of `thop`, which most papers print as "GFLOPs".
    Latency is that of PyTorch here; eager 3-D convolutions of one small patch are slow on a CPU.

    [bold]Example[/bold]

      segdistill cost t1 t2 t3 s1 s2 s3 --size 144,144,144 --count-only
    """
    from segdistill.costing import cost_of

    shape = None if size is None else _sides(size)
    found = [cost_of(target, shape, channels, classes, repeats if latency else 0) for target in targets]
    if as_json:
        print(json.dumps(found))
        return
    first = found[0]
    titles = ["", "input", "parameters M", "GMACs", "GMACs (thop)", "latency ms", "p95", "peak MB"]
    table = Table(*titles, title=_caption(first), title_justify="left")
    for row in found:
        time = row["latency_ms"] or {}
        table.add_row(
            Path(row["name"]).name,
            "x".join(map(str, row["input"])),
            f"{row['parameters'] / 1e6:.3f}",
            f"{row['macs'] / 1e9:.2f}",
            f"{row['thop_macs'] / 1e9:.2f}",
            f"{time['median']:.0f}" if time else "–",
            f"{time['p95']:.0f}" if time else "–",
            f"{row['peak_memory_mb']:.0f}" if row["peak_memory_mb"] else "–",
        )
    Console().print(table)


def _caption(row: dict) -> str:
    time = row["latency_ms"]
    return f"{time['backend']}, {time['threads']} threads, {time['device']}" if time else "counted, not run"


def _sides(size: str) -> tuple[int, ...]:
    try:
        sides = tuple(int(part) for part in size.replace("x", ",").split(","))
    except ValueError:
        sides = ()
    if len(sides) not in (2, 3) or min(sides) < 1:
        raise SegdistillError(f"--size {size}: write two or three numbers of voxels, such as 144,144,144")
    return sides
