"""`segdistill list`."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from segdistill.cli.arguments import AsJson

What = Literal[
    "networks",
    "presets",
    "recipes",
    "losses",
    "projectors",
    "where",
    "combinations",
    "layouts",
    "intensities",
    "optimizers",
    "schedules",
    "weights",
    "sources",
]


WIDE = 120


def list_command(
    what: Annotated[What, typer.Argument(help="The table to show.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """What there is, by name: kind, status of the source, reference; of recipes also what they need, of networks their
    parameters (for 2 channels and 2 classes, as `segdistill cost` has them; it tells the rest).

    **Example**

      segdistill list recipes
    """
    from segdistill.catalogue import rows

    found = rows(what)
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    shown = [key for key in found[0] if key != "parameters" and any(row[key] for row in found)]
    console = Console()
    if console.width < WIDE:
        for row in found:
            _block(console, row)
        return
    table = Table()
    for key in shown:
        table.add_column(key, no_wrap=key in ("name", "kind", "status"), overflow="fold")
    for row in found:
        table.add_row(*[escape(_told(row[key])) for key in shown])
    console.print(table)


def _block(console: Console, row: dict[str, Any]) -> None:
    """A row in lines of its own, where a table would have columns of a few letters."""
    about = ", ".join(filter(None, (row["kind"], row["status"])))
    needs = f"; needs {_told(row['needs'])}" if row.get("needs") else ""
    console.print(f"[bold]{escape(row['name'])}[/bold]  {escape(about + needs)}")
    for text, style in ((row["summary"], ""), (_told(row.get("size")), ""), (row["reference"], "dim")):
        if text:
            console.print(Padding(escape(text), (0, 0, 0, 4)), style=style)


def _told(value: Any) -> str:
    if isinstance(value, dict):  # numbers of parameters, by dimensions
        from segdistill.catalogue import in_millions

        return in_millions(value)
    return ", ".join(value) if isinstance(value, list) else str(value or "")
