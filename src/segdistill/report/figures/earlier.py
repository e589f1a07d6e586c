"""Figures of an earlier report: what the new one does not show goes, pictures of cases above all."""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import Path

from segdistill.report.figures import kept

OURS = re.compile(
    r"(brackets|case-by-case|cost-by-stage|dice-against-size|dice-along-the-study|differences|grad-cam|lesion-size"
    r"|overlay-\d+-(best|median|worst|chosen)|reliability|training-\d+)\.(png|svg)"
    rf"|{re.escape(kept.FILE)}"
)
"""What the files of a report's figures are called; any other in their folder is somebody else's."""


def remove(folder: Path, but: Container[str]) -> None:
    """Remove the figures of a report from its folder, but for files of these names."""
    for file in folder.iterdir() if folder.is_dir() else ():
        if OURS.fullmatch(file.name) and file.name not in but:
            file.unlink()
