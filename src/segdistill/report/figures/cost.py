"""What networks cost, as points: size against speed, and the frontier of those that none beats in both."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from segdistill.networks.sizes import by
from segdistill.report.figures.labels import label_points
from segdistill.report.figures.style import BLUE, INK, PAPER, VERMILION, Figure, as_png, as_svg, drawn
from segdistill.report.words import fixed

TITLE = "What networks cost"
LARGEST = 1800.0  # area of the largest bubble, in square points


def draw(costs: Sequence[Mapping[str, Any]]) -> Figure:
    """The figure of at least one cost record.

    Across: the median latency where all were timed, else true multiply-adds; upwards: parameters; areas: the memory
    that a forward pass adds. Networks on the frontier are those for which none is at least as good in both, and better
    in one.
    """
    timed = all(cost["latency_ms"] for cost in costs)
    across = [cost["latency_ms"]["p50"] if timed else cost["macs"] / 1e9 for cost in costs]
    places = [(x, cost["parameters"] / 1e6) for x, cost in zip(across, costs, strict=True)]
    best = frontier(places)
    most = max(cost["activation_mb"] for cost in costs)
    areas = [LARGEST * cost["activation_mb"] / most for cost in costs]
    names = [name.rstrip("/").rsplit("/", 1)[-1] for name in (str(cost["name"]) for cost in costs)]
    with drawn(8.2, 5.4) as (canvas, (axes,)):
        axes.set(xscale="log", yscale="log")
        for number, (place, area) in enumerate(zip(places, areas, strict=True)):
            colour = VERMILION if number in best else BLUE
            axes.scatter(*place, s=area, color=colour, alpha=0.13, linewidths=0)
            mark = "D" if number in best else "o"
            axes.scatter(*place, s=30, marker=mark, color=colour, edgecolors=PAPER, linewidths=0.8, zorder=4)
        steps = sorted(places[number] for number in best)
        axes.step(
            [x for x, _ in steps], [y for _, y in steps], where="post", color=INK, linewidth=1, alpha=0.5
        )
        axes.margins(0.16)
        axes.set_xlabel(f"{_of_time(costs[0])} (ms)" if timed else "True multiply-adds (G)")
        axes.set_ylabel("Parameters (million)")
        axes.grid(True, which="major")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
        inputs = {by(cost["input"]) for cost in costs}
        one = f"One input of {inputs.pop()}" if len(inputs) == 1 else "One input each, not all of one size"
        better = "faster" if timed else "of fewer operations"
        axes.set_title(f"{one}\ndiamonds: none is both smaller and {better}; areas: memory of the maps")
        canvas.draw_without_rendering()
        strokes = [
            stroke
            for (x, y), (further, lower) in itertools.pairwise(steps)
            for stroke in (((x, y), (further, y)), ((further, y), (further, lower)))
        ]
        label_points(axes, names, places, [30.0] * len(names), size=8, strokes=strokes)
        return Figure(
            "cost",
            TITLE,
            "Lower and further left is cheaper; what a network is worth, it does not say. Diamonds: no other is both "
            f"smaller and {'faster' if timed else 'of fewer operations'}. Areas: memory of the maps in a forward pass "
            f"(the largest: {fixed(most, 0)} MB).",
            "Scatter plot of parameters against "
            + ("latency: " if timed else "multiply-adds: ")
            + "; ".join(
                f"{name} {fixed(y, 2)} M at {fixed(x, 1)}" for name, (x, y) in zip(names, places, strict=True)
            ),
            as_png(canvas),
            as_svg(canvas),
        )


def frontier(places: Sequence[tuple[float, float]]) -> set[int]:
    """Numbers of the points that no other point is at least as low as in both, and lower in one."""
    return {
        i
        for i, (x, y) in enumerate(places)
        if not any(a <= x and b <= y and (a, b) != (x, y) for a, b in places)
    }


def _of_time(cost: Mapping[str, Any]) -> str:
    time = cost["latency_ms"]
    threads = f"{time['threads']} thread{'s' if time['threads'] != 1 else ''}"
    return f"Median latency of PyTorch, {threads}, {time['device']}"
