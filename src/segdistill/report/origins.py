"""Where a run's teachers lie, and what they are in words where they are no run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segdistill.errors import SegdistillError
from segdistill.report.run_folder import RunRecord, is_run
from segdistill.teachers.sources import kind_of

KINDS = {
    "run": "a run on other data",
    "nnunet": "an nnU-Net results folder",
    "monai_bundle": "a MONAI bundle",
    "torchscript": "a TorchScript file",
    "exported_program": "a torch.export program",
    "onnx": "an ONNX file",
    "soft_predictions": "a folder of soft predictions",
    "python": "a network given in Python",
}
"""By the name of a source; a run that is shown has a row of its own instead."""


def candidates(run: RunRecord, place: str) -> list[Path]:
    """Where a teacher may lie that run.json places there: runs are moved together with their teachers."""
    if place in ("", "python"):
        return []
    return [Path(place), run.path.parent / place, run.path.parent / Path(place).name]


def run_folder(run: RunRecord, place: str) -> Path | None:
    """The run folder of a teacher, resolved; None where there is none."""
    return next((path.resolve() for path in candidates(run, place) if is_run(path)), None)


def origin(run: RunRecord, teacher: str, place: str) -> str:
    """What a teacher is in words; empty where nothing lies there any more."""
    if place == "python":
        return KINDS["python"]
    path = next((path for path in candidates(run, place) if path.exists()), None)
    if path is None:
        return ""
    try:
        kind = _said(run, teacher) or kind_of(path, "")
    except SegdistillError:
        return f"not of a kind that is known here ({path.name})"
    return KINDS.get(kind, f"of the kind {kind}")


def _said(run: RunRecord, teacher: str) -> str | None:
    """The kind that the recipe names."""
    section: Any = (run.recipe.get("teachers") or {}).get(teacher) or {}
    kind = (section.get("source") or {}).get("type")
    return None if kind is None else str(kind)
