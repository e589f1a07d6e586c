"""The figures of a report in their folder; those of an earlier one that it does not show go."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from segdistill.atomic import replacing, write_text
from segdistill.report.evidence import Evidence
from segdistill.report.figures import kept
from segdistill.report.figures.style import Figure

PICTURES = rf"grad-cam\.png|overlay-\d+-(best|median|worst|chosen)\.png|{re.escape(kept.FILE)}"
OTHERS = (
    r"(brackets|case-by-case|cost-by-stage|dice-against-size|dice-along-the-study|differences|lesion-size|reliability"
    r"|training-\d+)\.(png|svg)"
)
OURS = re.compile(f"{PICTURES}|{OTHERS}")
"""What the files of a report's figures are called; any other in their folder is somebody else's."""


def write(
    folder: Path, figures: Iterable[Figure], pictures: Sequence[Figure], evidence: Evidence, shown: bool
) -> None:
    """Write every figure as PNG, and as SVG where it is one of lines; those of an earlier report are replaced.

    Its pictures of cases stay where this one could have them and draws none, since the images may be gone.

    Args:
        figures: all of them.
        pictures: those that are of cases.
        shown: whether images of cases may be shown.
    """
    written = set()
    if pictures and evidence.headline is not None:
        kept.write(folder, pictures, evidence.headline.student)
        written.add(kept.FILE)
    for figure in figures:
        with replacing(folder / f"{figure.name}.png") as temporary:
            temporary.write_bytes(figure.png)
        written.add(f"{figure.name}.png")
        if figure.svg:
            write_text(folder / f"{figure.name}.svg", figure.svg)
            written.add(f"{figure.name}.svg")
    _remove(folder, but=written, pictures=bool(pictures) or not shown)


def _remove(folder: Path, but: Container[str], pictures: bool) -> None:
    """Remove the figures of a report from its folder, but for files of these names.

    Args:
        pictures: those of cases, too. What is drawn from images cannot be drawn again where they are gone.
    """
    gone = OURS if pictures else re.compile(OTHERS)
    for file in folder.iterdir() if folder.is_dir() else ():
        if gone.fullmatch(file.name) and file.name not in but:
            file.unlink()
