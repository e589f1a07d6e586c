"""Dice against the number of parameters, MACs as the area (the form of Teach-Former's Fig. 1)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence, Set

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from segdistill.report.evidence import Evidence, Model
from segdistill.report.figures.crowd import MOST, Crowd, crowds
from segdistill.report.figures.labels import Stroke, label_points
from segdistill.report.figures.names import names_of
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
from segdistill.report.figures.swarm import Place, side_by_side
from segdistill.report.leaks import MARK, legend
from segdistill.report.scores import mean
from segdistill.report.words import BASELINES, fixed

TITLE = "Dice against size"
LARGEST = 2600.0  # area of the largest bubble, in square points
APART = 9.5  # points from mark to mark


def draw(evidence: Evidence) -> Figure | Missing:
    """The figure; `Missing` where no model has both a Dice and a number of parameters."""
    models = [m for m in evidence.models if m.cost and m.cost.parameters and evidence.dice(m) >= 0]
    if not models:
        return Missing(TITLE, "no run has both scores (metrics.json) and a number of parameters (cost.json)")
    sizes = [(m.cost.parameters or 0) / 1e6 if m.cost else 0.0 for m in models]
    dice = [100 * evidence.dice(m) for m in models]
    most = max((m.cost.macs or 0 for m in models if m.cost), default=0)
    areas = [LARGEST * (m.cost.macs or 0) / most if most and m.cost else 0.0 for m in models]
    spreads = [100 * (m.spread("dice", evidence.cases_of(m)) or 0.0) for m in models]
    names = names_of(models)
    crowded = crowds(models, sizes, evidence)
    many = {id(m) for crowd in crowded for m in crowd.models}
    bars = [spread if id(m) in many else 0.0 for m, spread in zip(models, spreads, strict=True)]
    quiet = many - {id(m) for c in crowded for m in c.named}
    with drawn(7.6, 4.4) as (canvas, (axes,)):
        axes.set_xscale("log")
        _limits(axes, sizes, dice, spreads)
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
        places = _moved(axes, models, sizes, dice, bars)
        for model, (x, y), area, over_seeds in zip(models, places, areas, spreads, strict=True):
            colour = COLOURS[model.role]
            if id(model) not in quiet:
                axes.scatter(x, y, s=area, color=colour, alpha=0.22, linewidths=0, clip_on=False)
                axes.scatter(x, y, s=area, facecolors="none", edgecolors=colour, linewidths=1, clip_on=False)
            if over_seeds:
                axes.errorbar(x, y, yerr=over_seeds, color=colour, linewidth=1.1, capsize=2.5)
            axes.scatter(x, y, s=34, marker=MARKS[model.role], color=colour, edgecolors=PAPER, linewidths=0.8,
                         zorder=4, clip_on=False)  # fmt: skip
        _baselines(axes, evidence)
        arrows = list(_gains(axes, evidence, models, places, many))
        strokes = [*arrows, *_levels(axes, models, places, crowded)]
        strokes += [((x, y - s), (x, y + s)) for (x, y), s in zip(places, spreads, strict=True) if s]
        told = [k for k, model in enumerate(models) if id(model) not in quiet]
        label_points(
            axes,
            [names.of(models[k]) + MARK * evidence.tainted(models[k]) for k in told],
            [places[k] for k in told],
            [areas[k] for k in told],
            strokes=strokes,
            marks=[place for model, place in zip(models, places, strict=True) if id(model) in quiet],
        )
        largest = f" (the largest: {fixed(most / 1e9, 2 if most < 1e10 else 0)} GMACs)" if most else ""
        moved = any(abs(x / size - 1) > 1e-3 for (x, _), size in zip(places, sizes, strict=True))
        crowd = (
            f" Where more than {MOST} models are of one size, only the best and the worst student and the student "
            "alone have a name and a bubble, and a dashed line is the level of the student alone."
            if crowded
            else ""
        )
        return Figure(
            "dice-against-size",
            TITLE,
            f"Higher and further left is better. The area of a bubble is proportional to its MACs{largest}; "
            f"bars are the standard deviation over {evidence.over}"
            f"{', arrows lead from the student alone to the distilled one' if arrows else ''}."
            f"{' Marks that would lie on each other are moved a little sideways.' if moved else ''}{crowd}{names.said}"
            f"{legend(evidence.tainted(m) for m in models)}",
            "Scatter plot of Dice against number of parameters: "
            + "; ".join(
                f"{m.short} {fixed(y)} % at {fixed(x, 2)} M"
                for m, x, y in zip(models, sizes, dice, strict=True)
            ),
            as_png(canvas),
            as_svg(canvas),
        )


def _limits(axes: Axes, sizes: Sequence[float], dice: Sequence[float], spreads: Sequence[float]) -> None:
    ys = [y + sign * spread for y, spread in zip(dice, spreads, strict=True) for sign in (-1, 1)]
    wide = max(math.log10(max(sizes) / min(sizes)), 0.6)
    axes.set_xlim(min(sizes) / 10 ** (0.22 * wide), max(sizes) * 10 ** (0.28 * wide))
    high = max(max(ys) - min(ys), 4.0)
    axes.set_ylim(max(min(ys) - 0.3 * high, 0.0), min(max(ys) + 0.3 * high, 100.0))


def _moved(
    axes: Axes,
    models: Sequence[Model],
    sizes: Sequence[float],
    dice: Sequence[float],
    bars: Sequence[float],
) -> list[Place]:
    """Where the marks go: a student alone where it belongs, others beside it where they would cover each other."""
    order = sorted(range(len(models)), key=lambda k: (models[k].role != "alone", -dice[k]))
    seen = axes.transData.transform([(sizes[k], dice[k]) for k in order])
    tops = axes.transData.transform([(sizes[k], dice[k] + bars[k]) for k in order])
    apart = side_by_side(
        [(float(x), float(y)) for x, y in seen],
        APART * axes.figure.dpi / 72,
        [float(top - y) for (_, top), (_, y) in zip(tops, seen, strict=True)],
    )
    xs = axes.transData.inverted().transform(apart)[:, 0]
    found = {k: (float(x), dice[k]) for k, x in zip(order, xs, strict=True)}
    return [found[k] for k in range(len(models))]


def _baselines(axes: Axes, evidence: Evidence) -> None:
    low, high = axes.get_ylim()
    for name, scores in evidence.baselines.items():
        value = 100 * mean([scores.of(case, "dice") for case in evidence.cases or scores.cases])
        if low < value < high:
            axes.axhline(value, color=INK, linestyle=(0, (2, 3)), linewidth=1, alpha=0.7)
            label = axes.text(0.008, value, BASELINES.get(name, name), transform=axes.get_yaxis_transform())
            label.set(ha="left", va="bottom", fontsize=8, alpha=0.8)


def _gains(
    axes: Axes,
    evidence: Evidence,
    models: Sequence[Model],
    places: Sequence[Place],
    many: Set[int],
) -> Iterator[Stroke]:
    """Draw the arrows from the students alone, none within a crowd (`many`, by id), and yield them."""
    for comparison in evidence.comparisons:
        alone, student = comparison.alone, comparison.student
        if alone in models and student in models and not {id(alone), id(student)} <= many:
            start, end = places[models.index(alone)], places[models.index(student)]
            style = {
                "arrowstyle": "-|>",
                "color": INK,
                "linewidth": 1,
                "shrinkA": 5,
                "shrinkB": 5,
                "alpha": 0.7,
            }
            axes.annotate("", end, start, arrowprops=style)
            yield start, end


def _levels(
    axes: Axes, models: Sequence[Model], places: Sequence[Place], crowded: Sequence[Crowd]
) -> Iterator[Stroke]:
    """Draw and yield the level of a student alone through the marks beside it."""
    of = dict(zip(map(id, models), places, strict=True))
    for crowd in crowded:
        xs = [of[id(model)][0] for model in crowd.models]
        ends = min(xs) / 1.04, max(xs) * 1.04
        for model in crowd.models:
            if model.role == "alone":
                y = of[id(model)][1]
                axes.plot(ends, (y, y), color=COLOURS["alone"], linewidth=1, linestyle=(0, (4, 2)))
                yield (ends[0], y), (ends[1], y)
