"""Text cut into lines that fit their room, by the measured width of its letters."""

from __future__ import annotations

import re

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path


def width(text: str, size: float) -> float:
    """How wide a line of text is, in points, at a size of letters in points."""
    font = FontProperties(size=size)
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0]) if text else 0.0


def fitted(text: str, room: float, size: float) -> str:
    """The text in lines of at most `room` points, broken behind a space, `_`, `-`, `+`, `/`, `.` or a comma.

    A single word that has no room is broken where it must.
    """
    lines = [""]
    for piece in pieces(text):
        if lines[-1] and width(lines[-1] + piece.rstrip(), size) > room:
            lines.append("")
        for letter in piece if width(piece.rstrip(), size) > room else [piece]:
            if lines[-1] and width(lines[-1] + letter.rstrip(), size) > room:
                lines.append("")
            lines[-1] += letter
    return "\n".join(line.rstrip() for line in lines)


def longest(text: str, size: float) -> float:
    """The width of what cannot be broken well, in points."""
    return max((width(piece.rstrip(), size) for piece in pieces(text)), default=0.0)


def pieces(text: str) -> list[str]:
    """The text cut at all places where a line may end."""
    return re.findall(r"[^\s_\-+/.,]*[\s_\-+/.,]+|[^\s_\-+/.,]+", text)
