"""`segdistill cost`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from segdistill.cli.arguments import AsJson, Device
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
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Parameters, multiply-adds, latency and memory of networks.

    GMACs are given twice: true (torch's counter), and in the convention of `thop`, which most papers print as "GFLOPs".
    MB are the weights and the tensors alive at once in a forward pass, counted.
    Latency is that of PyTorch here; eager 3-D convolutions of one small patch are slow on a CPU.

    **Example**

      segdistill cost t1 t2 t3 s1 s2 s3 --size 144,144,144 --count-only
    """
    from segdistill.cost.record import cost_of

    shape = None if size is None else _sides(size)
    found = [
        cost_of(target, shape, channels, classes, repeats if latency else 0, device) for target in targets
    ]
    if as_json:
        print(json.dumps(found))
        return
    Console().print(_table(found))


def _table(found: list[dict[str, Any]]) -> Table:
    """One row a network; the columns of times only where times were taken."""
    time = found[0]["latency_ms"]
    caption = (
        f"{time['backend']}, {time['threads']} threads, {time['device']}" if time else "counted, not run"
    )
    inputs = [f"{row['input'][0]} x {' x '.join(map(str, row['input'][1:]))}" for row in found]
    table = Table("", title=f"input {', '.join(dict.fromkeys(inputs))}; {caption}", title_justify="left")
    table.columns[0].no_wrap = True
    for title in ["M params", "GMACs", "M (thop)", "GMACs (thop)", "MB", *(["ms", "p95"] if time else [])]:
        table.add_column(title, justify="right", no_wrap=True)
    for row in found:
        counts = [
            row["parameters"] / 1e6,
            row["macs"] / 1e9,
            row["thop_parameters"] / 1e6,
            row["thop_macs"] / 1e9,
        ]
        took = row["latency_ms"]
        times = [f"{took['median']:.0f}", f"{took['p95']:.0f}"] if took else []
        memory = f"{row['peak_memory_mb']:.0f}"
        table.add_row(Path(row["name"]).name, *(f"{n:.2f}" for n in counts), memory, *times)
    return table


def _sides(size: str) -> tuple[int, ...]:
    try:
        sides = tuple(int(part) for part in size.replace("x", ",").split(","))
    except ValueError:
        sides = ()
    if len(sides) not in (2, 3) or min(sides) < 1:
        raise SegdistillError(f"--size {size}: write two or three numbers of voxels, such as 144,144,144")
    return sides
