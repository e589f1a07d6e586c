"""From run folders to a report: a verdict in words, tables, figures, and what to beware of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segdistill.errors import SegdistillError

if TYPE_CHECKING:
    from segdistill.report.about import About
    from segdistill.report.shown import Shown

__all__ = ["Report", "build"]


def _not_ours(out: Path) -> Path | None:
    """A file that has the name of a report in that folder, and is none."""
    page, text = out / "report.html", out / "report.md"
    if page.is_file():
        return None if "segdistill" in page.read_text(encoding="utf-8", errors="replace") else page
    return text if text.is_file() else None


@dataclass(frozen=True)
class Report:
    """Where the page lies, and the sentence it begins with."""

    page: Path
    verdict: str


def build(
    runs: Sequence[Path],
    out: Path,
    *,
    about: About | None = None,
    shown: Shown | None = None,
) -> Report:
    """Write report.html (self-contained), report.md and figures/ into the folder `out`.

    Where a distilled student has no student alone among the runs, the recipe that makes it is written there
    too.

    Args:
        runs: run folders, or folders that hold run folders. Runs that differ only by seed become one row;
            teachers are read too where their folders are still there.
        out: a folder, made where it does not exist. Files of an earlier report in it are replaced.
        about: the study that they belong to.
        shown: which images of cases.

    Raises:
        SegdistillError: not a run folder, a broken file, runs on different data sets, or `out` cannot
            be written or holds a report.html or report.md that is none of ours.
    """
    # Imported here: matplotlib and jinja2 would slow down every other command.
    from segdistill.atomic import write_text
    from segdistill.report import baseline, html, markdown, page
    from segdistill.report.figures import folder
    from segdistill.report.gather import gather
    from segdistill.report.shown import Shown

    out = Path(out)
    if out.exists() and not out.is_dir():
        raise SegdistillError(f"{out} is a file; choose a folder for the report")
    if strange := _not_ours(out):
        raise SegdistillError(
            f"{strange} is no report of segdistill and is left as it is; choose another folder"
        )
    evidence = gather([Path(run) for run in runs])
    shown = shown or Shown()
    content = page.compose(evidence, out, about=about, shown=shown)
    for comparison in evidence.comparisons:
        if comparison.alone is None:
            baseline.write_recipe(comparison.student, evidence, out)
    folder.write(out / "figures", content.figures, content.pictures, evidence, shown.images)
    write_text(out / "report.md", markdown.render(content))
    write_text(out / "report.html", html.render(content))
    said = " ".join(filter(None, (content.overall, content.verdicts[0].sentence)))
    return Report(out / "report.html", said)
