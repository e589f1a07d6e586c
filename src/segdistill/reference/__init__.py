"""Reference pages in Markdown, made from the tables: `python -m segdistill.reference docs/reference`."""

from __future__ import annotations

from segdistill.reference import losses, networks, parts, recipes


def pages() -> dict[str, str]:
    """The Markdown of every page, by file name."""
    return {
        "losses.md": losses.page(),
        "recipes.md": recipes.page(),
        "networks.md": networks.page(),
        "parts.md": parts.page(),
    }
