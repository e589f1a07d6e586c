"""A docstring in the Google style, taken apart."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Docstring:
    """What a docstring says.

    Attributes:
        text: all before its first section.
        settings: the meaning of each argument or attribute, in one line.
        refuses: what raises an error, in one line.
    """

    text: str
    settings: dict[str, str]
    refuses: str

    @classmethod
    def of(cls, part: Any) -> Docstring:
        """The docstring of a part."""
        text, *sections = re.split(
            r"^(Args|Attributes|Raises):\n", inspect.getdoc(part) or "", flags=re.MULTILINE
        )
        settings: dict[str, str] = {}
        refused: dict[str, str] = {}
        for title, body in zip(sections[::2], sections[1::2], strict=True):
            entries = re.findall(r"^ {4}(\S[^:]*): (.*(?:\n {5,}.*|\n(?=\n {5}))*)", body, flags=re.MULTILINE)
            told = refused if title == "Raises" else settings
            told |= {name: " ".join(meaning.split()) for name, meaning in entries}
        return cls(text.strip(), settings, " ".join(refused.values()))
