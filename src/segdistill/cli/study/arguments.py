"""What the commands of studies ask for in the same words."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segdistill.cli.arguments import sorted_out
from segdistill.composition import merge
from segdistill.errors import SegdistillError
from segdistill.notes import note

if TYPE_CHECKING:
    from segdistill.study.definition import Study

Folder = Annotated[
    Path, typer.Argument(metavar="STUDY_FOLDER", help="What `study run` made.", show_default=False)
]
Words = Annotated[
    list[str],
    typer.Argument(
        metavar="STUDY [RECIPE]... [KEY=VALUE]...",
        help="A study by name (`study list`) or its YAML file, then what is told of all its runs: YAML files such as "
        "tuned.yaml, and settings such as data.path=FOLDER train.epochs=50. What the study sets for some of its runs "
        "alone, such as more epochs for teachers, stays, and is told.",
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
    """The study that the words of the command line name, with what they tell of all its runs.

    Which runs keep a value of their own goes to standard error.
    """
    from segdistill.study.definition import file_of, load, shipped, told_of_all
    from segdistill.study.own_values import own_values

    sources, overrides = sorted_out(words)
    if not sources:
        raise SegdistillError("name a study first (see `segdistill study list`), then KEY=VALUE")
    study = load(sources[0], profile=profile, layers=sources[1:], overrides=overrides)
    told: dict[str, Any] = reduce(merge, told_of_all(sources[1:], overrides), {})
    if kept := own_values(study, told):
        file = file_of(sources[0])
        how = "run a copy with other values of" if sources[0] in shipped() else "write other values into"
        for line in (*kept, f"to change what the study sets, {how} {file}"):
            note(line)
    return study
