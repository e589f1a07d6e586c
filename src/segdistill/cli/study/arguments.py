"""What the commands of studies ask for in the same words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segdistill.cli.arguments import sorted_out
from segdistill.errors import SegdistillError

if TYPE_CHECKING:
    from segdistill.study.definition import Study

Folder = Annotated[
    Path, typer.Argument(metavar="STUDY_FOLDER", help="What `study run` made.", show_default=False)
]
Words = Annotated[
    list[str],
    typer.Argument(
        metavar="STUDY [RECIPE]... [KEY=VALUE]...",
        help="A study by name (`study list`) or its YAML file, then what is laid over the recipes of all its runs: "
        "YAML files such as tuned.yaml, and settings such as data.path=FOLDER train.epochs=50.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="The study's folder.  [default: studies/NAME]", show_default=False),
]
Profile = Annotated[
    str, typer.Option(help="Its size: `full`, or a smaller one that the study names, such as `tiny`.")
]


def asked(words: list[str], profile: str) -> Study:
    """The study that the words of the command line name, with what they lay over the recipes of its runs."""
    from segdistill.study.definition import load

    sources, overrides = sorted_out(words)
    if not sources:
        raise SegdistillError("name a study first (see `segdistill study list`), then KEY=VALUE")
    return load(sources[0], profile=profile, layers=sources[1:], overrides=overrides)
