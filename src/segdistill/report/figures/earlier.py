"""Figures of an earlier report: what the new one does not show goes, pictures of cases above all."""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import Path

from segdistill.report.figures import kept

PICTURES = rf"grad-cam\.png|overlay-\d+-(best|median|worst|chosen)\.png|{re.escape(kept.FILE)}"
OTHERS = (
    r"(brackets|case-by-case|cost-by-stage|dice-against-size|dice-along-the-study|differences|lesion-size|reliability"
    r"|training-\d+)\.(png|svg)"
)
OURS = re.compile(f"{PICTURES}|{OTHERS}")
"""What the files of a report's figures are called; any other in their folder is somebody else's."""


def remove(folder: Path, but: Container[str], pictures: bool) -> None:
    """Remove the figures of a report from its folder, but for files of these names.

    Args:
        pictures: those of cases, too. What is drawn from images cannot be drawn again where they are gone.
    """
    gone = OURS if pictures else re.compile(OTHERS)
    for file in folder.iterdir() if folder.is_dir() else ():
        if gone.fullmatch(file.name) and file.name not in but:
            file.unlink()
