"""Dice against the number of parameters, MACs as the area (the form of Teach-Former's Fig. 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from segdistill.report.evidence import Evidence, Model
from segdistill.report.figures.labels import label_points
from segdistill.report.figures.style import (
    COLOURS,
    INK,
    MARKS,
    NAMES,
    PAPER,
    Figure,
    Missing,
    as_png,
    as_svg,
    drawn,
)
from segdistill.report.leaks import MARK, legend
from segdistill.report.scores import mean
from segdistill.report.words import BASELINES, fixed

TITLE = "Dice against size"
LARGEST = 2600.0  # area of the largest bubble, in square points


def draw(evidence: Evidence) -> Figure | Missing:
    """The figure; `Missing` where no model has both a Dice and a number of parameters."""
    models = [m for m in evidence.models if m.cost and m.cost.parameters and evidence.dice(m) >= 0]
    if not models:
        return Missing(TITLE, "no run has both scores (metrics.json) and a number of parameters (cost.json)")
    places = [((m.cost.parameters or 0) / 1e6 if m.cost else 0.0, 100 * evidence.dice(m)) for m in models]
    most = max((m.cost.macs or 0 for m in models if m.cost), default=0)
    areas = [LARGEST * (m.cost.macs or 0) / most if most and m.cost else 0.0 for m in models]
    with drawn(7.6, 4.4) as (canvas, (axes,)):
        axes.set_xscale("log")
        spreads = [100 * (m.spread("dice", evidence.cases_of(m)) or 0.0) for m in models]
        _limits(axes, places, spreads)
        for model, (x, y), area in zip(models, places, areas, strict=True):
            colour = COLOURS[model.role]
            axes.scatter(x, y, s=area, color=colour, alpha=0.22, linewidths=0)
            axes.scatter(x, y, s=area, facecolors="none", edgecolors=colour, linewidths=1)
            over_seeds = model.spread("dice", evidence.cases_of(model))
            if over_seeds:
                axes.errorbar(x, y, yerr=100 * over_seeds, color=colour, linewidth=1.1, capsize=2.5)
            axes.scatter(
                x, y, s=34, marker=MARKS[model.role], color=colour, edgecolors=PAPER, linewidths=0.8, zorder=4
            )
        _baselines(axes, evidence)
        _gains(axes, evidence, models, places)
        axes.set_xlabel("Parameters (million)")
        axes.set_ylabel("Dice (%)")
        axes.grid(True, which="major")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
        roles = [role for role in NAMES if any(m.role == role for m in models)]
        handles = [
            Line2D([], [], marker=MARKS[r], color=COLOURS[r], linestyle="", label=NAMES[r], markersize=6)
            for r in roles
        ]
        canvas.legend(handles=handles, loc="outside upper left", ncols=len(handles), handletextpad=0.2)
        canvas.draw_without_rendering()
        label_points(axes, [m.short + MARK * evidence.tainted(m) for m in models], places, areas)
        largest = f" (the largest: {fixed(most / 1e9, 2 if most < 1e10 else 0)} GMACs)" if most else ""
        return Figure(
            "dice-against-size",
            TITLE,
            f"Higher and further left is better. The area of a bubble is proportional to its MACs{largest}; "
            "bars are the standard deviation over seeds, arrows lead from the student alone to the distilled "
            f"one.{legend(evidence.tainted(m) for m in models)}",
            "Scatter plot of Dice against number of parameters: "
            + "; ".join(
                f"{m.short} {fixed(y)} % at {fixed(x, 2)} M" for m, (x, y) in zip(models, places, strict=True)
            ),
            as_png(canvas),
            as_svg(canvas),
        )


def _limits(axes: Axes, places: Sequence[tuple[float, float]], spreads: Sequence[float]) -> None:
    xs = [x for x, _ in places]
    ys = [y + sign * spread for (_, y), spread in zip(places, spreads, strict=True) for sign in (-1, 1)]
    wide = max(math.log10(max(xs) / min(xs)), 0.6)
    axes.set_xlim(min(xs) / 10 ** (0.22 * wide), max(xs) * 10 ** (0.28 * wide))
    high = max(max(ys) - min(ys), 4.0)
    axes.set_ylim(min(ys) - 0.3 * high, max(ys) + 0.3 * high)


def _baselines(axes: Axes, evidence: Evidence) -> None:
    low, high = axes.get_ylim()
    for name, scores in evidence.baselines.items():
        value = 100 * mean([scores.of(case, "dice") for case in evidence.cases or scores.cases])
        if low < value < high:
            axes.axhline(value, color=INK, linestyle=(0, (2, 3)), linewidth=1, alpha=0.7)
            label = axes.text(0.008, value, BASELINES.get(name, name), transform=axes.get_yaxis_transform())
            label.set(ha="left", va="bottom", fontsize=8, alpha=0.8)


def _gains(axes: Axes, evidence: Evidence, models: list[Model], places: list[tuple[float, float]]) -> None:
    for comparison in evidence.comparisons:
        if comparison.alone in models and comparison.student in models:
            start, end = places[models.index(comparison.alone)], places[models.index(comparison.student)]
            style = {
                "arrowstyle": "-|>",
                "color": INK,
                "linewidth": 1,
                "shrinkA": 5,
                "shrinkB": 5,
                "alpha": 0.7,
            }
            axes.annotate("", end, start, arrowprops=style)
