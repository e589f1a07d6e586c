"""How far a whole study has come: a bar with the time left, or lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from segdistill.study.folder import Status, StudyFolder, counted

STYLES: dict[Status, str] = {
    "done": "green",
    "running": "cyan",
    "failed": "red",
    "stopped": "yellow",
    "waiting": "dim",
}


class Watch:
    """Shows a study while it runs. Time left is told from the share of training that was done since it was started."""

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._task = self._progress.add_task(folder.study.name, total=max(1, len(folder.planned)), left="")
        self._told: dict[str, Status] = {}
        self._begun, self._before = time.monotonic(), share(folder)

    def __enter__(self) -> Watch:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def look(self, statuses: Mapping[str, Status]) -> None:
        """Show what has changed."""
        over = share(self._folder, statuses)
        running = [name for name, status in statuses.items() if status == "running"]
        counts = counted(statuses)
        told = f"{self._folder.study.name}: {counts.get('done', 0)} of {len(statuses)} runs"
        if counts.get("failed"):
            told += f", {counts['failed']} failed"
        if running:
            told += f"  ({', '.join(running[:3])})"
        self._progress.update(self._task, completed=over, description=told, left=self._left(over))
        for name, status in statuses.items():
            if self._told.get(name) != status and status in ("done", "failed"):
                why = f": {self._folder.why_failed(name)}" if status == "failed" else ""
                if name in self._told:  # not what was there before
                    self._console.print(
                        f"{name} {status}{why}  {self._left(over)}".rstrip(), style=STYLES[status],
                        highlight=False, markup=False, soft_wrap=True,
                    )  # fmt: skip
            self._told[name] = status

    def _left(self, over: float) -> str:
        since = over - self._before
        if since <= 0 or over >= len(self._folder.planned):
            return ""
        seconds = (time.monotonic() - self._begun) / since * (len(self._folder.planned) - over)
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"about {hours} h {minutes:02d} min left" if hours else f"about {max(minutes, 1)} min left"


def share(folder: StudyFolder, statuses: Mapping[str, Status] | None = None) -> float:
    """How many runs are over, those at work by the share of their epochs."""
    statuses = folder.statuses() if statuses is None else statuses
    return sum(
        1.0 if statuses[one.name] == "done" else 0.99 * folder.share(one)
        for one in folder.planned
        if statuses[one.name] != "waiting"
    )


def table(folder: StudyFolder) -> Table:
    """Its runs and how far each has come."""
    statuses = folder.statuses()
    shown = Table(title=f"{folder.study.name}: {folder.path}")
    for column in ("run", "status", "training", "why"):
        shown.add_column(column)
    for one in folder.planned:
        status = statuses[one.name]
        why = folder.why_failed(one.name) if status == "failed" else ""
        lacking = [each for each in one.needs if statuses[each] != "done"]
        if status == "waiting" and lacking:
            why = f"after {lacking[0]}" + (f" and {len(lacking) - 1} more" if lacking[1:] else "")
        progress = "" if status == "waiting" else f"{folder.share(one):.0%}"
        shown.add_row(one.name, Text(status, STYLES[status]), progress, Text(why))
    return shown


def as_plain(folder: StudyFolder) -> dict[str, object]:
    """The same for a program."""
    statuses = folder.statuses()
    return {
        "study": folder.study.name,
        "counts": counted(statuses),
        "runs": [
            {
                "name": one.name,
                "group": one.group,
                "options": dict(one.options),
                "fold": one.fold,
                "seed": one.seed,
                "status": statuses[one.name],
                "training": round(folder.share(one), 4),
                "needs": list(one.needs),
                "why": folder.why_failed(one.name) if statuses[one.name] == "failed" else "",
            }
            for one in folder.planned
        ],
    }
