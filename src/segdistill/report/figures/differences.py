"""The differences that the verdict speaks of, with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from segdistill.report.comparisons import ALONE, TEACHER, Compared, find
from segdistill.report.evidence import Evidence
from segdistill.report.figures.fitted import fitted
from segdistill.report.figures.names import Names, names_of
from segdistill.report.figures.style import (
    BLUE,
    INK,
    OPEN,
    PAPER,
    VERMILION,
    Figure,
    Missing,
    as_png,
    as_svg,
    drawn,
)
from segdistill.report.leaks import MARK, legend
from segdistill.report.words import fixed, signed

TITLE = "Differences in Dice"
MANY = 6  # distilled students; beyond, only the differences to the student alone are drawn
LOOK = {"gain": (BLUE, "o"), "loss": (VERMILION, "v"), "open": (OPEN, "d"), "leak": (INK, "x")}
ROOM = 215.0  # points for the names at the left
LETTERS = 9.5


@dataclass(frozen=True)
class Line:
    """One difference: its name in the figure and in full, then all in Dice points."""

    name: str
    told: str
    middle: float
    ends: tuple[float, float]
    outcome: str
    runs: tuple[float, ...]


def draw(evidence: Evidence) -> Figure | Missing:
    """A line for each distilled student against the student alone and, of few students, its best teacher."""
    questions = (ALONE, TEACHER) if len(evidence.comparisons) <= MANY else (ALONE,)
    shown = [
        one
        for comparison in sorted(evidence.comparisons, key=lambda c: evidence.dice(c.student), reverse=True)
        for question in questions
        if (one := find(evidence, question, comparison.student)) is not None
        and one.test.difference is not None
        and one.test.interval is not None
    ]
    if not shown:
        return Missing(TITLE, "no two models here can be compared on three cases or more")
    names = names_of(one.student for one in shown)
    others = {one.name for one in shown}
    rows = [_line(one, names, len(others) == 1) for one in shown]
    low, high = limits(rows)
    with drawn(7.6, 1.0 + 0.42 * len(rows)) as (canvas, (axes,)):
        axes.set_xlim(low, high)
        axes.set_ylim(len(rows) - 0.45, -0.75)
        axes.axvline(0, color=INK, linewidth=1)
        for place, row in enumerate(rows):
            _draw(axes, place, row)
        far = [_further_out(axes, place, row) for place, row in enumerate(rows)]
        axes.set_yticks(range(len(rows)), [fitted(row.name, ROOM, LETTERS) for row in rows])
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0, pad=10 if any(far) else 4)
        against = f" to {others.pop()}" if len(others) == 1 else ""
        axes.set_xlabel(f"Difference in Dice points{against}\n(mean over cases, 95 % bootstrap interval)")
        axes.grid(True, axis="x")
        told = "; ".join(
            f"{row.told} {signed(row.middle)} ({fixed(row.ends[0])} to {fixed(row.ends[1])})" for row in rows
        )
        several = max(one.family for one in shown) > 1
        judged = " (by p-values adjusted for several students, Holm)" if several else ""
        strokes = "Strokes: each of its runs. " if any(row.runs for row in rows) else ""
        strokes += (
            "A small arrow at the edge: a run that lies further out, at that value. " if any(far) else ""
        )
        elsewhere = (
            "" if TEACHER in questions else " The table of comparisons has the differences to the teachers."
        )
        return Figure(
            "differences",
            TITLE,
            f"Right of zero the distilled student is better. {strokes}Circle: a gain; triangle: a loss; hollow "
            f"diamond: not settled, chance alone may explain it{judged}.{elsewhere}{names.said}"
            f"{legend(row.outcome == 'leak' for row in rows)}",
            told,
            as_png(canvas),
            as_svg(canvas),
        )


def limits(rows: Sequence[Line]) -> tuple[float, float]:
    """Where the axis begins and ends: around zero, means and intervals, and those runs that do not stretch it much.

    One run that failed would else make all gains narrower than their marks.
    """
    values = [0.0, *(value for row in rows for value in (row.middle, *row.ends))]
    low, high = min(values), max(values)
    more = 0.5 * max(high - low, 1.0)
    runs = [run for row in rows for run in row.runs]
    near = [run for run in runs if low - more <= run <= high + more]
    left, right = min([low, *near]), max([high, *near])
    room = 0.06 * max(right - left, 1.0)
    return (
        left - room * (3 if any(run < left for run in runs) else 1),
        right + room * (3 if any(run > right for run in runs) else 1),
    )


def _line(one: Compared, names: Names, alike: bool) -> Line:
    low, high = one.test.interval or (0.0, 0.0)
    runs = one.repeated.differences if one.repeated else ()
    mark = MARK * one.tainted
    return Line(
        names.of(one.student) + ("" if alike else f" against {one.name}") + mark,
        f"{one.student.short} against {one.name}{mark}",
        100 * (one.test.difference or 0.0),
        (100 * low, 100 * high),
        one.outcome,
        tuple(100 * difference for difference in runs),
    )


def _draw(axes: Axes, place: int, row: Line) -> None:
    colour, mark = LOOK[row.outcome]
    low, high = axes.get_xlim()
    inside = [run for run in row.runs if low <= run <= high]
    axes.plot(inside, [place] * len(inside), "|", color=INK, markersize=9, markeredgewidth=1, zorder=3)
    axes.plot(row.ends, [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
    inner = PAPER if row.outcome == "open" else colour
    axes.plot(
        row.middle,
        place,
        mark,
        color=colour,
        markerfacecolor=inner,
        markeredgewidth=1.8,
        markersize=7.5,
        zorder=4,
    )
    axes.annotate(signed(row.middle), (row.middle, place), (0, 8), textcoords="offset points", ha="center",
                  fontsize=8.5, zorder=5, bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.8})  # fmt: skip


def _further_out(axes: Axes, place: int, row: Line) -> bool:
    """Name the runs that lie beyond the edges, and say whether there are any."""
    low, high = axes.get_xlim()
    left, right = [run for run in row.runs if run < low], [run for run in row.runs if run > high]
    for edge, mark, runs, away, align in ((low, "<", left, 7, "left"), (high, ">", right, -7, "right")):
        if runs:
            axes.plot(edge, place, mark, color=INK, markersize=5, clip_on=False, zorder=3)
            axes.annotate(_listed(runs), (edge, place), (away, 0), textcoords="offset points", ha=align,
                          va="center", fontsize=7.5,
                          bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.8})  # fmt: skip
    return bool(left or right)


def _listed(values: Iterable[float]) -> str:
    return ", ".join(signed(value) for value in sorted(values))
