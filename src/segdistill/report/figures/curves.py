"""Training curves: each term of the loss, and the Dice on the validation cases."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import offset_copy

from segdistill.report.evidence import Comparison, Model
from segdistill.report.figures.beside import called
from segdistill.report.figures.fitted import fitted, width
from segdistill.report.figures.style import COLOURS, CYCLE, INK, LINES, Figure, Missing, as_png, as_svg, drawn
from segdistill.report.run_folder import Epoch
from segdistill.report.words import listing

Line = str | tuple[int, tuple[int, ...]]
Curve = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # epochs, mean, lowest, highest over seeds

LETTERS = 8.5  # of the legends, in points, as are all widths below
DASH, GAP, APART = 24.0, 7.0, 17.0  # of an entry: its line, the space before its words; between two columns
BELOW = 34.0  # between the axes and the legend: numbers and what they are of


def draw(comparison: Comparison, number: int = 1, which: str = "") -> Figure | Missing:
    """The curves of a distilled student, with the validation of the student alone and of the teachers.

    Args:
        number: of the figure, for its file's name.
        which: a sentence for the caption that says which students are drawn, after a space.
    """
    student = comparison.student
    title = f"Training of {student.short}"
    terms = dict.fromkeys(name for run in student.runs for epoch in run.epochs for name in epoch.loss)
    if not terms:
        return Missing(title, "its log.jsonl has no epochs")
    with drawn(8.6, 3.9, 1, 2) as (canvas, (left, right)):
        lowest = _terms(left, student, sorted(terms, key=lambda name: name != "total"))
        shown = _validation(right, comparison)
        for axes in (left, right):
            axes.set_xlabel("Epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(True)
        canvas.draw_without_rendering()
        for axes in (left, right) if shown else (left,):
            _legend(canvas, axes)
        scale = "logarithmic" if lowest > 0 else "linear"
        return Figure(
            f"training-{number}",
            title,
            f"Left: the terms of the training loss as logged ({scale} scale). "
            + (
                "Right: Dice on the validation cases. "
                if shown
                else "There was no validation Dice in the logs. "
            )
            + (_leak(student) if shown else "")
            + f"Lines are means over seeds, bands reach from the lowest to the highest seed.{which}",
            f"Training curves of {student.short}: {', '.join(terms)}",
            as_png(canvas),
            as_svg(canvas),
        )


def _leak(student: Model) -> str:
    """Which teachers had learnt from the validation cases."""
    names = dict.fromkeys(
        name
        for run in student.runs
        for name, learnt in run.taught_on.items()
        if set(learnt) & set(run.splits.get("validation", ()))
    )
    if not names:
        return ""
    return f"Some of these cases {listing(list(names))} had learnt from before teaching: no evidence. "


def _terms(axes: Axes, student: Model, terms: list[str]) -> float:
    axes.set_title("Loss, term by term")
    lowest = np.inf
    for number, term in enumerate(terms):
        curve = _curve(student, partial(_loss, term))
        if curve is None:
            continue
        colour = INK if term == "total" else CYCLE[(number - 1) % len(CYCLE)]
        _plot(axes, curve, term, colour, LINES[number % len(LINES)])
        lowest = min(lowest, float(curve[2].min()))
    if lowest > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(lambda value, _: "")
    return lowest


def _validation(axes: Axes, comparison: Comparison) -> bool:
    axes.set_title("Validation Dice (%)")
    shown = False
    models = [comparison.student, *([comparison.alone] if comparison.alone else []), *comparison.teachers[:3]]
    for number, model in enumerate(models):
        curve = _curve(model, _dice)
        if curve is None:
            continue
        shown = True
        thick = 1.1 if model.role == "teacher" else 1.8
        _plot(axes, curve, called(model), COLOURS[model.role], LINES[number % len(LINES)], thick)
    if not shown:
        axes.set_axis_off()
    return shown


def _legend(canvas: Canvas, axes: Axes) -> None:
    """A legend below axes that were laid out: long names in several lines, as many columns as have room, at most 3."""
    room = 72 * axes.bbox.width / canvas.dpi
    handles, names = axes.get_legend_handles_labels()
    names = [fitted(name, room - DASH - GAP, LETTERS) for name in names]
    wide = [DASH + GAP + max(width(line, LETTERS) for line in name.split("\n")) for name in names]
    columns = next(number for number in (3, 2, 1) if number == 1 or _together(wide, number) <= room)
    axes.legend(
        handles,
        names,
        ncols=columns,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=offset_copy(axes.transAxes, canvas, 0, -BELOW, units="points"),
        fontsize=LETTERS,
        borderaxespad=0,
        borderpad=0,
        handlelength=DASH / LETTERS,
        handletextpad=GAP / LETTERS,
        columnspacing=APART / LETTERS,
    )


def _together(wide: list[float], columns: int) -> float:
    """The width of entries in so many columns, filled one after the other."""
    parts = [part for part in np.array_split(np.array(wide), columns) if part.size]
    return float(sum(part.max() for part in parts) + APART * (len(parts) - 1))


def _loss(term: str, epoch: Epoch) -> float | None:
    return epoch.loss.get(term)


def _dice(epoch: Epoch) -> float | None:
    return 100 * epoch.validation["dice"] if epoch.validation and "dice" in epoch.validation else None


def _curve(model: Model, value: Callable[[Epoch], float | None]) -> Curve | None:
    """A quantity by epoch over the seeds of a model; epochs, from 1, that all reached."""
    found: dict[int, list[float]] = {}
    for run in model.runs:
        for epoch in run.epochs:
            number = value(epoch)
            if number is not None and np.isfinite(number):
                found.setdefault(epoch.number, []).append(float(number))
    most = max((len(values) for values in found.values()), default=0)
    epochs = sorted(number for number, values in found.items() if len(values) == most)
    if not epochs:
        return None
    table = np.array([found[number][:most] for number in epochs])
    return np.array(epochs) + 1, table.mean(axis=1), table.min(axis=1), table.max(axis=1)


def _plot(axes: Axes, curve: Curve, label: str, colour: str, line: Line, thick: float = 1.8) -> None:
    epochs, middle, low, high = curve
    mark = "o" if len(epochs) == 1 else None
    axes.plot(epochs, middle, color=colour, linestyle=line, label=label, linewidth=thick, marker=mark)
    if (high > low).any():
        axes.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)
