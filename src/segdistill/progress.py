"""Progress with an estimated time of arrival, on a terminal only."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Item = TypeVar("Item")


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
    )


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items` behind a progress bar with ETA on standard error; silent where that is no terminal."""
    console = Console(stderr=True)
    with Progress(*_columns(), console=console, disable=not console.is_terminal) as progress:
        yield from progress.track(items, total=total, description=description)


class Bar:
    """A progress bar over training steps; where there is no terminal, one line an epoch instead.

    Args:
        description: what is going on.
        total: all steps.
        done: steps that a resumed run has behind it.
        shown: False on all but one of several processes.
    """

    def __init__(self, description: str, total: int, done: int = 0, shown: bool = True) -> None:
        self._console = Console(stderr=True)
        self._live = shown and self._console.is_terminal
        self._lines = shown and not self._live
        self._progress = Progress(*_columns(), console=self._console, disable=not self._live)
        self._task = self._progress.add_task(description, total=total, completed=done)
        self._steps, self._done, self._total, self._begun = 0, done, total, time.monotonic()

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, description: str) -> None:
        """One step is done."""
        self._steps += 1
        self._progress.update(self._task, advance=1, description=description)

    def note(self, name: str, losses: Mapping[str, float], dice: float | None) -> None:
        """What an epoch came to, in one line; on a terminal it stays above the bar."""
        parts = [f"{key} {value:.4f}" for key, value in losses.items()]
        if dice is not None:
            parts.append(f"validation dice {dice:.4f}")
        left = self._total - self._done - self._steps
        eta = (time.monotonic() - self._begun) / max(self._steps, 1) * left
        parts.append(f"eta {timedelta(seconds=round(eta))}")
        if self._lines or self._live:
            self._console.print(f"{name}: {', '.join(parts)}", highlight=False, soft_wrap=True)
