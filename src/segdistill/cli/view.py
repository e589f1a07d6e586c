"""`segdistill view`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from segdistill.errors import SegdistillError
from segdistill.notes import note


def view_command(
    run: Annotated[Path, typer.Argument(help="Run folder with predictions.", show_default=False)],
    case: Annotated[
        list[str] | None,
        typer.Option(help="Show only this case; may be said again.  [default: all]", show_default=False),
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            help="A further run on the same data, such as the student alone; may be said again.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Write the page as a folder instead of serving it.", show_default=False
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    paths: Annotated[
        bool, typer.Option("--paths", help="Name the image files on the page; without it, only the cases.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a page that is there.")] = False,
) -> None:
    """Look at cases in the browser: slices and 3-D, reference, student, teachers, and where they differ.

    The page is served to this computer alone, under an address with a secret word, until Ctrl-C; or written as a folder
    that opens from the disk. Cases come the worst first. Of a patient it tells the case's id and no more.

    **Example**

      segdistill view runs/hinton --beside runs/hinton_alone
    """
    from segdistill.run import Run

    Run.open(run)  # before what is heavy is imported: a mistake is told at once
    from segdistill.viewer import page, server, static
    from segdistill.viewer.cases import gather

    if out is not None:
        static.must_suit(out, overwrite)
    elif overwrite:
        raise SegdistillError("--overwrite replaces a folder; name it by --out")
    gallery = gather(run, cases=case or (), beside=beside or ())
    files = page.files_of(gallery, packed=out is not None, paths=paths)
    for told in gallery.left_out:
        note(told)
    if out is not None:
        print(static.write(files, out, overwrite))
        return
    with server.serving(files, port) as (address, serving):
        console = Console(stderr=True)
        console.print("serving to this computer alone; Ctrl-C ends it", highlight=False)
        print(address, flush=True)
        if browser:
            webbrowser.open(address)
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            console.print("stopped", highlight=False)
