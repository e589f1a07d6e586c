"""The report of a study: all of its runs that are done, what it is about, and which runs are missing."""

from __future__ import annotations

from pathlib import Path

from segdistill.errors import SegdistillError
from segdistill.report import Report, build
from segdistill.report.about import About
from segdistill.report.shown import Shown
from segdistill.study.folder import StudyFolder


def done(folder: StudyFolder) -> list[Path]:
    """The folders of its runs that are done.

    Raises:
        SegdistillError: none is.
    """
    found = [folder.run(name).path for name, status in folder.statuses().items() if status == "done"]
    if not found:
        raise SegdistillError(
            f"{folder.path}: no run is done yet; `segdistill study status` shows how far they are"
        )
    return found


def report(
    folder: StudyFolder, out: Path | None = None, *, shown: Shown | None = None, command: str | None = None
) -> Report:
    """Write the report over the runs that are done.

    Args:
        out: a folder; None: `report` in the study's.
        shown: which images of cases.
        command: that makes the study again; None: as it was typed.

    Raises:
        SegdistillError: no run is done.
    """
    runs, study, statuses = done(folder), folder.study, folder.statuses()
    about = About(
        study.name, study.summary, study.reference, study.differs,
        folder.command if command is None else command, len(statuses),
        {name: status for name, status in statuses.items() if status != "done"},
    )  # fmt: skip
    return build(runs, out or folder.file("report"), about=about, shown=shown)
