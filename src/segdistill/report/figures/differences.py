"""The differences that the verdict speaks of, with their intervals."""

from __future__ import annotations

from segdistill.report.comparisons import ALONE, TEACHER, find
from segdistill.report.evidence import Evidence
from segdistill.report.figures.style import (
    BLUE,
    INK,
    ORANGE,
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
LOOK = {"gain": (BLUE, "o"), "loss": (VERMILION, "v"), "open": (ORANGE, "d"), "leak": (INK, "x")}


def draw(evidence: Evidence) -> Figure | Missing:
    """A line for each distilled student against the student alone and, of few students, its best teacher."""
    rows = []
    most = 1
    questions = (ALONE, TEACHER) if len(evidence.comparisons) <= MANY else (ALONE,)
    for comparison in sorted(evidence.comparisons, key=lambda c: evidence.dice(c.student), reverse=True):
        for question in questions:
            one = find(evidence, question, comparison.student)
            if one is None or one.test.difference is None or one.test.interval is None:
                continue
            label = f"{one.student.short} against {one.name}{MARK * one.tainted}"
            ends = [100 * end for end in one.test.interval]
            runs = [100 * difference for difference in one.repeated.differences] if one.repeated else []
            rows.append((label, 100 * one.test.difference, ends, one.outcome, runs))
            most = max(most, one.family)
    if not rows:
        return Missing(TITLE, "no two models here can be compared on three cases or more")
    with drawn(7.6, 0.95 + 0.42 * len(rows)) as (canvas, (axes,)):
        for place, (_, middle, (low, high), result, runs) in enumerate(rows):
            colour, mark = LOOK[result]
            axes.plot(runs, [place] * len(runs), "|", color=INK, markersize=9, markeredgewidth=1, zorder=3)
            axes.plot([low, high], [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
            axes.plot(middle, place, mark, color=colour, markersize=8)
            axes.annotate(
                f"{signed(middle)}",
                (middle, place),
                (0, 8),
                textcoords="offset points",
                ha="center",
                fontsize=8.5,
            )
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_yticks(range(len(rows)), [row[0] for row in rows])
        axes.set_ylim(len(rows) - 0.45, -0.75)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("Difference in Dice points\n(mean over cases, 95 % bootstrap interval)")
        axes.grid(True, axis="x")
        told = "; ".join(
            f"{label} {signed(m)} ({fixed(low)} to {fixed(high)})" for label, m, (low, high), *_ in rows
        )
        judged = " (by p-values adjusted for several students, Holm)" if most > 1 else ""
        strokes = "Strokes: each of its runs. " if any(runs for *_, runs in rows) else ""
        elsewhere = (
            "" if TEACHER in questions else " The table of comparisons has the differences to the teachers."
        )
        return Figure(
            "differences",
            TITLE,
            f"Right of zero the distilled student is better. {strokes}Circle: a gain; triangle: a loss; diamond: not "
            f"settled, chance alone may explain it{judged}.{elsewhere}"
            f"{legend(result == 'leak' for *_, result, _ in rows)}",
            told,
            as_png(canvas),
            as_svg(canvas),
        )
