"""Dice against the one thing that students differ in: labels, their own size, or how good their teacher is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from segdistill.report.evidence import Evidence, Model
from segdistill.report.figures.style import (
    COLOURS,
    INK,
    MARKS,
    ORANGE,
    PAPER,
    PURPLE,
    SKY,
    VERMILION,
    Figure,
    Missing,
    as_png,
    as_svg,
    drawn,
)
from segdistill.report.leaks import MARK, legend
from segdistill.report.words import fixed

TITLE = "Dice along the study"
FEWEST = 3  # points that make a line
LOOKS: tuple[tuple[str, str, str], ...] = (
    (VERMILION, "D", "-"), (PURPLE, "^", "-."), (ORANGE, "v", ":"), (SKY, "P", "--"),
)  # fmt: skip
"""Colour, mark and line of the methods, in order."""


@dataclass(frozen=True)
class Along:
    """What students may differ in: its words, its value for a student, and whether it grows by factors."""

    label: str
    value: Callable[[Model, Evidence], float | None]
    logarithmic: bool = False
    of_all: bool = True  # students alone have it, too; else they are one level


Point = tuple[float, float, float, float, Model]
"""Where along, mean Dice, lowest and highest seed (percent), and of which student."""


def draw(evidence: Evidence) -> Figure | Missing:
    """The figure; `Missing` where students do not differ in one thing by which they can be put in order."""
    for along in (LABELLED, PARAMETERS, TEACHER):
        lines = _lines(evidence, along)
        if any(len({point[0] for point in points}) >= FEWEST for points in lines.values()):
            return _figure(evidence, along, lines)
    return Missing(
        TITLE, "students do not differ in the number of labels, in width, or in how good their teacher is"
    )


def _labelled(model: Model, _: Evidence) -> float | None:
    data = model.run.recipe.get("data")
    splits = data.get("splits") if isinstance(data, Mapping) else None
    share = splits.get("labelled") if isinstance(splits, Mapping) else None
    return None if share is None else 100 * float(share)


def _parameters(model: Model, _: Evidence) -> float | None:
    return model.cost.parameters / 1e6 if model.cost and model.cost.parameters else None


def _teacher(model: Model, evidence: Evidence) -> float | None:
    own = next((one for one in evidence.comparisons if one.student is model), None)
    scored = [100 * evidence.dice(t) for t in own.teachers if t.evaluated] if own else []
    return scored[0] if len(scored) == 1 else None


LABELLED = Along("Training cases whose labels are used (%)", _labelled, logarithmic=True)
PARAMETERS = Along("Parameters of the student (million)", _parameters, logarithmic=True)
TEACHER = Along("Dice of the teacher (%)", _teacher, of_all=False)


def _lines(evidence: Evidence, along: Along) -> dict[str, list[Point]]:
    """Students of one kind and how they score, by what they are called, in order; each is one network in all points."""
    found: dict[tuple[str, str], list[Point]] = {}
    for model in (m for role in ("alone", "distilled") for m in evidence.of(role)):
        x = along.value(model, evidence)
        if x is None or not model.evaluated or (model.role == "alone" and not along.of_all):
            continue
        seeds = [100 * value for value in model.by_seed("dice", evidence.cases_of(model))]
        point = (x, 100 * evidence.dice(model), min(seeds), max(seeds), model)
        found.setdefault((_name(model), model.network), []).append(point)
    several = len({network for _, network in found}) > 1
    return {
        f"{name} ({network})" if several else name: sorted(points, key=lambda point: point[0])
        for (name, network), points in found.items()
    }


def _name(model: Model) -> str:
    if model.role == "alone":
        return "student alone"
    data: Any = model.run.recipe.get("data") or {}
    return f"{model.method}, images without label too" if data.get("unlabelled") else model.method


def _figure(evidence: Evidence, along: Along, lines: Mapping[str, Sequence[Point]]) -> Figure:
    looks = iter(LOOKS * (1 + len(lines) // len(LOOKS)))
    said = []
    with drawn(7.6, 4.4) as (canvas, (axes,)):
        if along.logarithmic:
            axes.set_xscale("log")
        for name, points in lines.items():
            alone = points[0][4].role == "alone"
            colour, mark, line = (COLOURS["alone"], MARKS["alone"], "--") if alone else next(looks)
            tainted = any(evidence.tainted(point[4]) for point in points)
            axes.plot(
                [point[0] for point in points], [point[1] for point in points], color=colour, marker=mark,
                linestyle=line, markersize=7, markeredgecolor=PAPER, label=name + MARK * tainted,
            )  # fmt: skip
            for x, _, low, high, _ in points:
                axes.plot([x, x], [low, high], color=colour, linewidth=1.1)
            said.append(f"{name} {', '.join(f'{fixed(y)} at {x:.3g}' for x, y, *_ in points)}")
        _levels(axes, evidence, along)
        ticks = sorted({point[0] for points in lines.values() for point in points})
        axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel(along.label)
        axes.set_ylabel("Dice (%)")
        axes.grid(True, axis="y")
        canvas.legend(loc="outside upper left", ncols=2, handlelength=3)
        tainted_models = [evidence.tainted(point[4]) for points in lines.values() for point in points]
        return Figure(
            "dice-along-the-study",
            TITLE,
            "Points are means over seeds and cases, vertical lines reach from the lowest to the highest seed; the "
            f"dotted level is the {'best teacher' if along.of_all else 'student alone'}.{legend(tainted_models)}",
            f"Dice against {along.label.lower()}: {'; '.join(said)}",
            as_png(canvas),
            as_svg(canvas),
        )  # fmt: skip


def _levels(axes: Axes, evidence: Evidence, along: Along) -> None:
    """Lines that the others are seen against."""
    best = max((m for m in evidence.of("teacher") if m.evaluated), key=evidence.dice, default=None)
    levels = [("best teacher", best)] if along.of_all else []
    if not along.of_all:
        levels.append(("student alone", max(evidence.of("alone"), key=evidence.dice, default=None)))
    for name, model in levels:
        if model is not None and model.evaluated:
            value = 100 * evidence.dice(model)
            axes.axhline(value, color=INK, linestyle=(0, (1, 2)), linewidth=1.1, alpha=0.8)
            label = axes.text(0.99, value, name, transform=axes.get_yaxis_transform())
            label.set(ha="right", va="bottom", fontsize=8, alpha=0.8)
