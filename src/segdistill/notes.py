"""Things worth knowing, said on standard error, where no run keeps a log of them."""

from __future__ import annotations

from rich.console import Console


def note(text: str) -> None:
    """Say it in one line, dimmed on a terminal."""
    Console(stderr=True).print(f"note: {text}", style="dim", highlight=False, markup=False, soft_wrap=True)
