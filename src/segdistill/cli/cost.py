"""`segdistill cost`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from segdistill.cli.arguments import AsJson, Device
from segdistill.errors import SegdistillError
from segdistill.notes import note


def cost_command(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="NETWORK|RUN|RECIPE... [KEY=VALUE]...",
            help="Networks and presets (`segdistill list networks`), run folders, recipes (a student and its teachers; "
            "recipe:NAME where a network has that name), or `all` networks. KEY=VALUE changes their settings.",
            show_default=False,
        ),
    ],
    size: Annotated[
        str | None,
        typer.Option(
            help="Voxels of the input, such as 144,144,144 or 384,384.  [default: a run's patch, or 64,64,64]",
            show_default=False,
        ),
    ] = None,
    channels: Annotated[
        int | None,
        typer.Option(
            min=1, help="Input channels.  [default: a run's or a dataset's, or 2]", show_default=False
        ),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(
            min=1, help="Output channels.  [default: a run's or a dataset's, or 2]", show_default=False
        ),
    ] = None,
    latency: Annotated[
        bool,
        typer.Option(
            "--latency/--count-only",
            help="Also run each network, in a process of its own; counting allocates none.",
        ),
    ] = True,
    repeats: Annotated[int, typer.Option(min=1, help="Timed forward passes, after 3 untimed.")] = 20,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="PyTorch's threads.  [default: its own choice]", show_default=False),
    ] = None,
    device: Device = "auto",
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw size against speed, with the Pareto frontier, as PNG or SVG.", show_default=False
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a picture that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """What networks cost: parameters, multiply-adds, memory, latency, file size.

    GMACs are given twice: true (torch's counter), and in the convention of `thop`, which most papers print as "GFLOPs".
    (thop counts a module with several names several times, hence nnU-Net's large figures.)
    File: the weights. Maps: the tensors alive at once in a forward pass, counted. RAM: what a process that only runs
    the network holds at its peak, libraries included, measured. p50 and p95: time of one input, in PyTorch, whose 3-D
    convolutions of one small patch are slow on a CPU. Runs have their own channels, classes and patch.

    **Examples**

      segdistill cost t1 t2 t3 s1 s2 s3 --size 144,144,144 --count-only

      segdistill cost unet channels=[8,16,32,64] --size 96,96,96

      segdistill cost all --size 64,64,64 --plot networks.png
    """
    from segdistill.cost.record import cost_of
    from segdistill.cost.targets import targets as meant
    from segdistill.device import choose_device
    from segdistill.progress import track

    if plot is not None:
        _must_suit(plot, overwrite)
    asked = meant(targets, None if size is None else _sides(size), channels, classes)
    if not asked:
        raise SegdistillError(
            "name a network, preset, run or recipe first (`segdistill list networks`), or `all`"
        )
    if latency:
        choose_device(device)
    found: list[dict[str, Any]] = []
    failed: list[SegdistillError] = []
    for target in track(asked, "networks"):
        try:
            found.append(cost_of(target, repeats=repeats if latency else 0, device=device, threads=threads))
        except SegdistillError as reason:
            failed.append(reason)
    if not found:
        raise failed[0]
    if plot is not None:
        _draw(found, plot)
    if as_json:
        print(json.dumps(found))
    else:
        _show(found, latency, plot)
    if failed and "all" not in targets:
        raise SegdistillError("\n".join(str(error) for error in failed))
    for error in failed:
        note(f"left out: {error}")


def _show(found: list[dict[str, Any]], latency: bool, plot: Path | None) -> None:
    console = Console()
    console.print(_counted(found))
    if latency:
        console.print(_measured(found))
    for row in found:
        for line in row.get("weighed", ()):
            console.print(f"{row['name']}: {line}", highlight=False, markup=False, soft_wrap=True)
    if plot is not None:
        console.print(f"picture: {plot}", highlight=False, markup=False, soft_wrap=True)


def _counted(found: list[dict[str, Any]]) -> Table:
    """One row a network: what is counted."""
    inputs = dict.fromkeys(_shape(row) for row in found)
    one = len(inputs) == 1
    table = _table(f"counted for {next(iter(inputs)) if one else 'one input each'}, batch 1, float32")
    for heading in ("M params", "GMACs", "M\n(thop)", "GMACs\n(thop)", "file\nMB", "maps\nMB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in found:
        counts = [row[key] / 1e6 if "parameters" in key else row[key] / 1e9 for key in COUNTS]
        sizes = [f"{row['file_mb']:.1f}", f"{row['activation_mb']:.0f}"]
        name = _name(row) if one else f"{_name(row)}\n  {_shape(row)}"
        table.add_row(name, *map(_number, counts), *sizes)
    return table


def _measured(found: list[dict[str, Any]]) -> Table:
    """One row a network: what was measured here."""
    time = found[0]["latency_ms"]
    threads = f"{time['threads']} thread{'s' * (time['threads'] != 1)}"
    table = _table(
        f"measured: {time['backend']}, {threads}, {time['device']}, {time['repeats']} passes after {time['warm_up']}"
    )
    for heading in ("p50 ms", "p95 ms", "RAM MB", *(["GPU MB"] if "device_mb" in found[0] else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in found:
        took = row["latency_ms"]
        memory = [f"{row[key]:.0f}" for key in ("resident_mb", "device_mb") if key in row]
        table.add_row(_name(row), f"{took['p50']:.1f}", f"{took['p95']:.1f}", *memory)
    return table


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
    table.add_column("", no_wrap=True)
    return table


def _number(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def _name(row: dict[str, Any]) -> str:
    return Path(row["name"]).name or str(row["name"])


COUNTS = ("parameters", "macs", "thop_parameters", "thop_macs")


def _shape(row: dict[str, Any]) -> str:
    return f"{' x '.join(map(str, row['input']))} to {row['classes']}"


def _must_suit(plot: Path, overwrite: bool) -> None:
    """Raise before hours of measuring where the picture could not be written afterwards."""
    if plot.suffix.lower() not in (".png", ".svg"):
        raise SegdistillError(f"--plot {plot}: name a .png or .svg file")
    if plot.exists() and not overwrite:
        raise SegdistillError(f"--plot {plot} exists; --overwrite replaces it")
    if not plot.parent.is_dir():
        raise SegdistillError(f"--plot {plot}: there is no folder {plot.parent}")


def _draw(found: list[dict[str, Any]], plot: Path) -> None:
    from segdistill.atomic import replacing
    from segdistill.report.figures import cost

    figure = cost.draw(found)
    with replacing(plot) as temporary:
        if plot.suffix.lower() == ".svg":
            temporary.write_text(figure.svg or "", encoding="utf-8")
        else:
            temporary.write_bytes(figure.png)


def _sides(size: str) -> tuple[int, ...]:
    try:
        sides = tuple(int(part) for part in size.replace("x", ",").split(","))
    except ValueError:
        sides = ()
    if len(sides) not in (2, 3) or min(sides) < 1:
        raise SegdistillError(f"--size {size}: write two or three numbers of voxels, such as 144,144,144")
    return sides
