"""Cases of the distilled student, the best, the median and the worst, beside the student alone and a teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from segdistill.data.dataset import Dataset
from segdistill.errors import SegdistillError
from segdistill.report.evidence import Comparison, Evidence
from segdistill.report.figures.pictures import (
    Picture,
    contrast_channel,
    find_dataset,
    find_prediction,
    read_picture,
)
from segdistill.report.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    Figure,
    Missing,
    as_png,
    drawn,
)
from segdistill.report.run_folder import RunRecord
from segdistill.report.words import fixed, listing, points

TITLE = "Pictures of cases"
BLACK, LIGHT = "#0b0e12", "#e8ecf1"
CLASS_COLOURS = (ORANGE, SKY, YELLOW, PURPLE, GREEN, VERMILION, BLUE)
MOST_CHANNELS = 4


def draw(evidence: Evidence, comparison: Comparison, cases: Sequence[str] = ()) -> list[Figure] | Missing:
    """A figure for each of the three cases; `Missing` with the reason where images or masks are not there.

    Args:
        cases: others instead.

    Raises:
        SegdistillError: the student has no scores of such a case.
    """
    student = comparison.student
    teacher = next((t for t in comparison.teachers if t.evaluated), None)
    answers: dict[str, RunRecord] = {}
    if comparison.alone is not None and comparison.alone.evaluated:
        answers["Student alone"] = comparison.alone.run
    answers["Distilled"] = student.run
    if teacher is not None:
        answers[f"Best teacher ({teacher.short})"] = teacher.run
    chosen = choose(evidence, comparison, cases)
    if not chosen:
        return Missing(TITLE, f"{student.short} has no case with a defined Dice")
    try:
        dataset = find_dataset(student.run)
        return [
            _case(dataset, which, case, answers, number) for number, (which, case) in enumerate(chosen, 1)
        ]
    except (SegdistillError, OSError) as error:
        return Missing(TITLE, str(error))


def explain(comparison: Comparison) -> str:
    """What the overlays show, for all three."""
    seed = comparison.student.run.seed
    masks = f"masks of seed {seed}" if seed is not None else "the masks shown"
    return (
        f"By the Dice of {comparison.student.short}. Filled: the answer; dashed white: the reference; each "
        f"number is the Dice of this case in {masks}. Volumes are cut where the reference is largest."
    )


def choose(evidence: Evidence, comparison: Comparison, cases: Sequence[str] = ()) -> list[tuple[str, str]]:
    """What a case is, and its name: three by the Dice of the distilled student, seeds averaged; fewer for few cases.

    Args:
        cases: others instead.

    Raises:
        SegdistillError: the student has no scores of such a case.
    """
    student = comparison.student
    if unknown := [case for case in cases if case not in student.cases]:
        raise SegdistillError(
            f"case {unknown[0]!r}: {student.short} was not scored on it (it was on {listing(student.cases)})"
        )
    if cases:
        return [("Chosen", case) for case in dict.fromkeys(cases)]
    dice = student.by_case("dice", evidence.cases_of(student)).items()
    ordered = [
        case for _, case in sorted(((value, case) for case, value in dice if value is not None), reverse=True)
    ]
    if len(ordered) < 3:
        return list(zip(("Best", "Worst"), ordered, strict=False))
    return [("Best", ordered[0]), ("Median", ordered[len(ordered) // 2]), ("Worst", ordered[-1])]


def _case(dataset: Dataset, which: str, case: str, answers: Mapping[str, RunRecord], number: int) -> Figure:
    found = {name: path for name, run in answers.items() if (path := find_prediction(run, case))}
    if "Distilled" not in found:
        raise SegdistillError(
            f"the predicted mask of case {case} is not in {answers['Distilled'].path}/predictions"
        )
    picture = read_picture(dataset, case, found)
    colour = len(picture.image) == 3 and dataset.spatial_dims == 2
    channels = (
        [("Image", None)]
        if colour
        else [(n, i) for i, n in enumerate(dataset.channels[: len(picture.image)])]
    )
    channels = channels[:MOST_CHANNELS]
    under = None if colour else contrast_channel(picture)
    seeds = {
        name: f" {fixed(points(run.scores.of(case, 'dice')))}" for name, run in answers.items() if run.scores
    }
    height, width = picture.reference.shape[1:]
    panel = 1.75
    total = len(channels) + 1 + len(picture.answers)
    tall = min(max(panel * height * picture.aspect / width, 0.8), 3.2)
    several = len(dataset.classes) > 1
    with drawn(panel * total + 0.1, tall + (0.5 if several else 0.24), 1, total) as (canvas, panels):
        canvas.get_layout_engine().set(w_pad=0.02, h_pad=0.03, wspace=0.02)  # type: ignore[union-attr, call-arg]
        for axes, (title, channel) in zip(panels, channels, strict=False):
            show(axes, picture, channel, title)
        rest = panels[len(channels) :]
        show(rest[0], picture, under, "Reference")
        _paint(rest[0], picture.reference)
        for axes, (name, mask) in zip(rest[1:], picture.answers.items(), strict=True):
            show(axes, picture, under, name + seeds.get(name, ""))
            _paint(axes, mask)
            _outline(axes, picture.reference)
        if several:
            marks: list[Patch | Line2D] = [
                Patch(color=CLASS_COLOURS[i % len(CLASS_COLOURS)], label=name)
                for i, name in enumerate(dataset.classes)
            ]
            marks.append(Line2D([], [], color="white", linestyle=(0, (3, 2)), linewidth=1, label="reference"))
            canvas.legend(
                handles=marks,
                loc="outside lower center",
                ncols=min(len(marks), 8),
                fontsize=8,
                labelcolor=LIGHT,
            )
        canvas.set_facecolor(BLACK)
        png = as_png(canvas, background=BLACK, margin=0.08)
    place = f", {picture.place}" if picture.place else ""
    return Figure(
        f"overlay-{number}-{which.lower()}",
        f"{which} case: {case}",
        f"{which} case: {case}{place}.",
        f"{which} case {case}: " + ", ".join(f"{name}{dice}" for name, dice in seeds.items()),
        png,
    )


def show(axes: Axes, picture: Picture, channel: int | None, title: str) -> None:
    """Draw a picture in grey by one of its channels, or in its colours."""
    if channel is None:
        image = np.moveaxis(picture.image, 0, -1)
        axes.imshow(np.clip(image / (255 if image.max() > 1 else 1), 0, 1), aspect=picture.aspect)
    else:
        image = picture.image[channel]
        low, high = np.percentile(image, (0.5, 99.5))
        axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=picture.aspect)
    axes.set_axis_off()
    axes.set_anchor("S")
    axes.set_title(title, color=LIGHT, fontsize=8.5, loc="center", pad=3)


def _paint(axes: Axes, mask: np.ndarray) -> None:
    for number, inside in enumerate(_layers(mask)):
        colour = CLASS_COLOURS[number % len(CLASS_COLOURS)]
        if inside.any() and not inside.all():
            axes.contourf(inside.astype(float), levels=[0.5, 1.5], colors=[colour], alpha=0.28)
            axes.contour(inside.astype(float), levels=[0.5], colors=[colour], linewidths=1.4)


def _outline(axes: Axes, mask: np.ndarray) -> None:
    for inside in _layers(mask):
        if inside.any() and not inside.all():
            axes.contour(
                inside.astype(float), levels=[0.5], colors="white", linewidths=0.9, linestyles=[(0, (3, 2))]
            )


def _layers(mask: np.ndarray) -> list[np.ndarray]:
    """One mask a class, of exclusive labels (1, rows, columns) or of regions (R, rows, columns)."""
    if len(mask) > 1:
        return [layer == 1 for layer in mask]
    return [mask[0] == number for number in range(1, int(mask.max(initial=0)) + 1)]
