"""Case by case: the Dice of the student alone on the left, of the distilled student on the right."""

from __future__ import annotations

from segdistill.report.evidence import Evidence
from segdistill.report.figures.fitted import fitted
from segdistill.report.figures.names import names_of
from segdistill.report.figures.one_by_one import one_by_one
from segdistill.report.figures.style import (
    BLUE,
    INK,
    PAPER,
    VERMILION,
    Figure,
    Missing,
    as_png,
    as_svg,
    drawn,
)
from segdistill.report.leaks import MARK, legend
from segdistill.report.scores import mean
from segdistill.report.words import count

TITLE = "Case by case"
LETTERS = 10.5
BESIDE = 0.7  # inches of a panel's width that its axis takes


def draw(evidence: Evidence) -> Figure | Missing:
    """The figure; `Missing` where no distilled student has a student alone to compare with."""
    able = [c for c in evidence.comparisons if c.alone and c.alone.evaluated and c.student.evaluated]
    chosen, which = one_by_one(evidence, able)
    pairs = [(c.student, c.alone) for c in chosen if c.alone]
    if not pairs:
        return Missing(
            TITLE, "no distilled student has an evaluated run of the same network trained alone beside it"
        )
    columns = min(len(pairs), 3)
    rows = -(-len(pairs) // columns)
    told = []
    names = names_of(student for student, _ in pairs)
    wide = max(2.6 * columns, 3.4)
    room = 72 * (wide / columns - BESIDE)
    with drawn(wide, 3.9 * rows, rows, columns) as (canvas, panels):
        for axes in panels[len(pairs) :]:
            axes.set_visible(False)
        for axes, (student, alone) in zip(panels, pairs, strict=False):
            cases = evidence.cases_of(student, alone)
            before, after = alone.by_case("dice", cases), student.by_case("dice", cases)
            both = [
                (100 * x, 100 * y)
                for case in cases
                if (x := before[case]) is not None and (y := after[case]) is not None
            ]
            better = sum(y > x for x, y in both)
            told.append(f"{student.short}: {better} of {count(len(both), 'case')} better than alone")
            for x, y in both:
                gain = y >= x
                axes.plot([0, 1], [x, y], color=BLUE if gain else VERMILION, linestyle="-" if gain else "--",
                          linewidth=1.1, alpha=0.6, marker="o" if gain else "v", markersize=3.5,
                          markeredgewidth=0)  # fmt: skip
            means = [mean([x for x, _ in both]), mean([y for _, y in both])]
            axes.plot(
                [0, 1],
                means,
                color=INK,
                linewidth=2.6,
                marker="o",
                markersize=7,
                markeredgecolor=PAPER,
                zorder=5,
            )
            if axes is not panels[0]:
                axes.sharey(panels[0])
            axes.set_xlim(-0.25, 1.25)
            axes.set_xticks(
                [0, 1], [f"{alone.short} alone" if " " not in alone.short else "alone", "distilled"]
            )
            mark = MARK * evidence.tainted(student, alone)
            title = fitted(names.of(student) + mark, room, LETTERS)
            axes.set_title(f"{title}\n{better} of {len(both)} better", fontsize=LETTERS, linespacing=1.3)
            axes.grid(True, axis="y")
            axes.set_ylabel("Dice (%)")
        return Figure(
            "case-by-case",
            TITLE,
            f"Each line is a {evidence.noun}, its seeds averaged. Solid blue: better when distilled; dashed orange: "
            f"worse; thick line: the mean.{which}{names.said}{legend(evidence.tainted(*pair) for pair in pairs)}",
            "Paired slopes of Dice. " + "; ".join(told),
            as_png(canvas),
            as_svg(canvas),
        )
