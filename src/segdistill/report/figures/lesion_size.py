"""What is found of small, middle and large lesions."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from segdistill.evaluation.lesions import Detection, detection
from segdistill.report.evidence import Evidence
from segdistill.report.figures.beside import LOOKS, beside, called
from segdistill.report.figures.style import COLOURS, MARKS, PAPER, Figure, Missing, as_png, as_svg, drawn
from segdistill.report.leaks import MARK, legend
from segdistill.report.scores import mean
from segdistill.report.tables.lesions import names_of_sizes, over_seeds, rounds, sizes, told
from segdistill.report.words import count, fixed

TITLE = "Lesions by size"


def draw(evidence: Evidence) -> Figure | Missing:
    """The figure; `Missing` where lesions are not told, or are all alike."""
    models, edges = beside(evidence, told), sizes(evidence)
    if not models or len(edges) < 3:
        return Missing(TITLE, "no run here was looked at lesion by lesion, or all lesions are of one size")
    parts = list(itertools.pairwise(edges))
    rows = rounds(models[0], evidence.cases_of(models[0]))[0][1]
    numbers = [detection(rows, low, high).lesions for low, high in parts]
    panels: list[tuple[str, Callable[[Detection], float | None]]] = [
        ("Recall (% of the lesions)", lambda one: one.recall),
        ("Dice of the lesions (%), missed: 0", lambda one: one.dice),
    ]
    said = []
    with drawn(8.2, 4.0, 1, 2) as (canvas, axes):
        for place, (title, value) in enumerate(panels):
            for number, model in enumerate(models):
                cases = evidence.cases_of(model)
                seeds = [over_seeds(model, cases, value, low, high) for low, high in parts]
                middle = [100 * mean(each) for each in seeds]
                shift = 0.09 * (number - (len(models) - 1) / 2)
                xs = [k + shift for k in range(len(parts))]
                label = called(model) + MARK * evidence.tainted(model)
                axes[place].plot(xs, middle, color=COLOURS[model.role], linestyle=LOOKS[model.role],
                                 marker=MARKS[model.role], markersize=7, markeredgecolor=PAPER,
                                 label=label if place == 0 else None)  # fmt: skip
                for x, each in zip(xs, seeds, strict=True):
                    known = [100 * one for one in each if one is not None]
                    if len(known) > 1:
                        axes[place].plot(
                            [x, x], [min(known), max(known)], color=COLOURS[model.role], linewidth=1.1
                        )
                if place == 0:
                    said.append(f"{label} {', '.join(fixed(one) for one in middle)}")
            axes[place].set_title(title)
            axes[place].set_ylim(-3, 103)
            axes[place].set_xlim(-0.4, len(parts) - 0.6)
            names = [
                f"{name.replace(' (', chr(10)).rstrip(')')}\n{count(n, 'lesion')}"
                for name, n in zip(names_of_sizes(edges), numbers, strict=True)
            ]
            axes[place].set_xticks(range(len(parts)), names, fontsize=8.5)
            axes[place].grid(True, axis="y")
        canvas.legend(loc="outside upper left", ncols=3, handlelength=3)
        return Figure(
            "lesion-size",
            TITLE,
            "Thirds of the reference lesions by volume in mm\u00b3 (2-D: area in mm\u00b2), all cases and classes "
            "together. Points are means over seeds, vertical lines reach from the lowest to the highest seed."
            f"{legend(evidence.tainted(m) for m in models)}",
            f"Recall of lesions by size, {', '.join(names_of_sizes(edges))}: {'; '.join(said)}",
            as_png(canvas),
            as_svg(canvas),
        )
