"""Plain text as Markdown, and the blocks of a page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

MADE = "Made from the tables of the program by `make reference`; do not edit."


def document(title: str, *blocks: str) -> str:
    """A page: its title, where it comes from, and its blocks."""
    return "\n\n".join((f"# {title}", MADE, *blocks)) + "\n"


def contents(found: Iterable[Mapping[str, Any]], *columns: str) -> str:
    """A section with a table of what is on a page, from rows of `catalogue.rows`; `anchor` where it is not the name."""
    lines = [f"| name | {' | '.join(columns)} | what it is |", "|---" * (len(columns) + 2) + "|"]
    for row in found:
        link = f"[{row['name']}](#{row.get('anchor', row['name'])})"
        cells = [link, *(row[column] for column in columns), prose(row["summary"]).replace("|", "\\|")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(("## Contents\n", *lines))


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {line}" for line in lines)


def block(language: str, text: str) -> str:
    """A block of code."""
    return f"```{language}\n{text}\n```"


def code(text: str) -> str:
    """A piece of code in a line."""
    return f"`{text}`"


def sentence(text: str) -> str:
    """A summary as a sentence."""
    return prose(text[:1].upper() + text[1:]).removesuffix(".") + "."


def prose(text: str) -> str:
    """Plain text as Markdown: `code` and lists stay, other markup is escaped, arXiv and DOI become links."""
    pieces = re.split(r"(`[^`]+`)", text)
    pieces[::2] = [_escaped(piece) for piece in pieces[::2]]
    lines: list[str] = []
    inside = False  # a list
    for line in "".join(pieces).splitlines():
        before = lines[-1] if lines else ""
        item = line.startswith("- ") and (inside or not before or before.endswith((":", ".")))
        if (item and before and not inside) or (inside and before and not item and not line.startswith(" ")):
            lines.append("")
        inside = item or (inside and (not line or line.startswith(" ")))
        lines.append(line if item else re.sub(r"^(\s*)([-+#>=](?=\s|=)|\d+(?=[.)]\s))", _disarmed, line))
    return "\n".join(lines)


def _disarmed(start: re.Match[str]) -> str:
    """The start of a line that would be read as that of a list, a heading or a quotation, as plain text."""
    return f"{start[1]}{start[2]}\\" if start[2].isdigit() else f"{start[1]}\\{start[2]}"


def _escaped(text: str) -> str:
    text = re.sub(r"[\\*~]|<(?=[A-Za-z/!?])|(?<!\w)_|_(?!\w)", r"\\\g<0>", text).replace("](", "]\\(")
    text = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)
    return re.sub(r"doi:(10\.\d+/[^\s,;)]*[^\s,;).:])", r"[doi:\1](https://doi.org/\1)", text)
