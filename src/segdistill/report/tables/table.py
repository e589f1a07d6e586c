"""What a table is: text with a key to sort by; no HTML and no Markdown here."""

from __future__ import annotations

from dataclasses import dataclass

ROLES = {"teacher": "Teachers", "alone": "Students alone", "distilled": "Distilled students"}


@dataclass(frozen=True)
class Cell:
    """Text, a smaller addition (a spread, a remark), and what to sort by where that is a number."""

    text: str
    extra: str = ""
    key: float | None = None


@dataclass(frozen=True)
class Column:
    """A title, whether numbers stand below it, and an arrow in the direction of better."""

    title: str
    numeric: bool = True
    best: str = ""  # an arrow: which direction is better


@dataclass(frozen=True)
class Row:
    """A row; the marked one is what the verdict is about."""

    cells: tuple[Cell, ...]
    marked: bool = False


@dataclass(frozen=True)
class Group:
    """Rows under a title of their own."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    """Rows in titled groups (one untitled group where there is nothing to group by)."""

    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()
