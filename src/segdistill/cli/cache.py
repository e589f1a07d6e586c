"""`segdistill cache build`, `info` and `prune`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from segdistill.cli.arguments import AsJson, Device, Trust, Words, recipe_from
from segdistill.errors import SegdistillError

if TYPE_CHECKING:
    from segdistill.teachers.cache.inventory import Shelf

app = typer.Typer(
    no_args_is_help=True,
    help="What trained teachers say about each case, kept on disk so that they need not run in every step.\n\n"
    "`distill` makes and uses it by itself; these commands make it beforehand, show it, and clear it.",
)
Root = Annotated[
    Path | None,
    typer.Argument(
        help="Preprocessed images, or the folder that holds them.  "
        "[default: $SEGDISTILL_STORE, else runs/preprocessed]",
        show_default=False,
    ),
]


@app.command("build", no_args_is_help=True)
def build_command(
    words: Words, device: Device = "auto", trust: Trust = False, as_json: AsJson = False
) -> None:
    """Ask the teachers of a recipe about every training case, without training a student.

    Takes the same words as `distill`. What is there is kept; several of these commands may work on one cache at once;
    one that is stopped goes on where it was. The size on disk is told before.

    **Example**

      segdistill cache build teach_former data.path=Dataset101_Sarcoma data.augmentation.affine=0
    """
    recipe = recipe_from(words)
    from segdistill.device import choose_device
    from segdistill.training.assemble import student_of
    from segdistill.training.distill import trained_run
    from segdistill.training.knowledge import knowledge_of
    from segdistill.training.prepare import prepare
    from segdistill.training.teachers import teachers_of

    for name, section in recipe.teachers.items():
        if section.frozen and section.path is None and not trained_run(recipe, name, Path(os.devnull)):
            raise SegdistillError(
                f"teachers.{name}.run: {section.run} is not a finished run; train it first, or let "
                "`segdistill distill` do it"
            )
    data = prepare(recipe)
    student = student_of(data)
    known = teachers_of(data, student, trust=trust)
    knowledge = knowledge_of(data, student, known, choose_device(device), shown=not as_json)
    if as_json:
        entries = {name: str(entry.path) for name, entry in knowledge.entries.items()}
        print(json.dumps({"entries": entries, "notes": list(knowledge.notes)}, ensure_ascii=False))
        return
    console = Console(stderr=True)
    for text in knowledge.notes:
        console.print(text, highlight=False, markup=False, soft_wrap=True)


@app.command("info")
def info_command(root: Root = None, as_json: AsJson = False) -> None:
    """List what is kept: of which teacher, which stages, how many cases, how large, how old.

    **Example**

      segdistill cache info runs/preprocessed
    """
    found = _shelves(root)
    if as_json:
        print(json.dumps([_row(one) for one in found], ensure_ascii=False))
        return
    from segdistill.quantity import in_bytes

    table = Table()
    for title, side in (("entry", "left"), ("stages", "left"), ("cases", "right"), ("size", "right")):
        table.add_column(title, justify="left" if side == "left" else "right", overflow="fold")
    table.add_column("days", justify="right")
    table.add_column("", overflow="fold")
    for one in found:
        logits = "8-bit logits" if one.error is not None else ""
        error = f"{logits}, off by {one.error:.3g} at most" if one.error is not None else ""
        table.add_row(
            f"{one.store.name}/{one.path.name}",
            ", ".join(maps) if isinstance(maps := one.told.get("maps"), dict) else "",
            str(one.cases),
            in_bytes(one.bytes),
            f"{one.days:.1f}",
            one.problem or error,
        )
    Console().print(table)
    Console().print(f"{len(found)} entries, {in_bytes(sum(one.bytes for one in found))}", highlight=False)


@app.command("prune")
def prune_command(
    root: Root = None,
    older_than: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="DAYS", help="Those not written to for so many days.", show_default=False
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it they are only listed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove entries that this version cannot use, and those that are asked for; what is removed can be made again.

    **Examples**

      segdistill cache prune --older-than 30

      segdistill cache prune runs/preprocessed --all --yes
    """
    from segdistill.quantity import in_bytes
    from segdistill.teachers.cache.inventory import remove

    chosen = [
        one
        for one in _shelves(root)
        if everything or one.problem or (older_than is not None and one.days > older_than)
    ]
    for one in chosen:
        if yes:
            remove(one)
    if as_json:
        print(json.dumps({"removed": yes, "entries": [_row(one) for one in chosen]}, ensure_ascii=False))
        return
    console = Console(stderr=True)
    for one in chosen:
        why = f" ({one.problem})" if one.problem else ""
        console.print(
            f"{one.path}: {in_bytes(one.bytes)}{why}", highlight=False, markup=False, soft_wrap=True
        )
    total = in_bytes(sum(one.bytes for one in chosen))
    told = (
        f"{len(chosen)} entries removed, {total}"
        if yes
        else f"{len(chosen)} entries, {total}; --yes removes them"
    )
    console.print(told, highlight=False)


def _shelves(root: Path | None) -> list[Shelf]:
    from segdistill.teachers.cache.inventory import shelves

    return shelves(root or Path(os.environ.get("SEGDISTILL_STORE") or "runs/preprocessed"))


def _row(one: Shelf) -> dict[str, object]:
    return {
        "path": str(one.path),
        "teacher": one.told.get("teacher"),
        "source": one.told.get("source"),
        "version": one.told.get("version"),
        "maps": one.told.get("maps"),
        "logits": one.told.get("logits"),
        "largest_error": one.error,
        "cases": one.cases,
        "bytes": one.bytes,
        "days": round(one.days, 3),
        "problem": one.problem or None,
    }
