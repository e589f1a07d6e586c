"""What a reader has to know before believing the figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caution:
    """serious: a figure is wrong or cannot be compared. note: a figure says less than it seems to."""

    severity: str  # serious | note
    title: str
    text: str
