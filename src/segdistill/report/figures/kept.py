"""Pictures of cases that were drawn before: they stay in a report that is made again without images and masks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from segdistill.atomic import write_json
from segdistill.report.evidence import Model
from segdistill.report.figures.style import Figure
from segdistill.report.run_folder import RunRecord

FILE = "pictures.json"
"""Beside the pictures: what is written below each, and of which answers they are."""


def write(folder: Path, pictures: Sequence[Figure], student: Model) -> None:
    """Write what a later report has to know of the pictures in a folder."""
    rows = [{"name": p.name, "title": p.title, "caption": p.caption, "alt": p.alt} for p in pictures]
    write_json(folder / FILE, {"of": _answers(student.run), "pictures": rows})


def read(folder: Path, student: Model) -> tuple[Figure, ...]:
    """The pictures in a folder, if they are of these answers of a student; none where that is not so."""
    try:
        told = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if told["of"] != _answers(student.run):
            return ()
        return tuple(
            Figure(
                row["name"],
                row["title"],
                row["caption"],
                row["alt"],
                (folder / f"{row['name']}.png").read_bytes(),
            )
            for row in told["pictures"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _answers(run: RunRecord) -> str:
    """What masks were drawn, as far as their scores tell: others have others."""
    dice = {case: run.scores.of(case, "dice") for case in sorted(run.scores.cases)} if run.scores else {}
    name = run.name.rpartition("/")[2]  # as it is called without others of its name beside it
    return hashlib.sha256(json.dumps([name, dice]).encode()).hexdigest()[:16]
