"""Runs that have no scores of their own: why not, and the commands that bring them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from segdistill.report.evidence import Model
from segdistill.report.run_folder import RunRecord


def why(model: Model) -> str:
    """The rest of a sentence about a model that was not evaluated."""
    if not all(run.finished for run in model.runs):
        return "is not finished"
    return "has only scores of other cases" if any(run.scores for run in model.runs) else "has no scores yet"


def commands(runs: Iterable[RunRecord]) -> str | None:
    """Commands, one a line: go on with what is not finished, evaluate the rest; None where none is known."""
    every = (_evaluated(run) if run.finished else resumed(run.command) for run in runs)
    return "\n".join(dict.fromkeys(filter(None, every))) or None


def resumed(command: str) -> str | None:
    """The command that goes on with what this one began; None where that cannot be told."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    match words[1:]:
        case ["train" | "distill" | "demo", *_]:
            kept = [word for word in words if word not in ("--resume", "--overwrite")]
            return shlex.join([*kept, "--resume"])
        case ["study", "perform", *_]:
            return command  # goes on by itself
    return None


def _evaluated(run: RunRecord) -> str:
    return f"segdistill evaluate {shlex.quote(str(run.path))}"
