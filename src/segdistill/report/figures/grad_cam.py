"""Grad-CAM of several networks side by side, on one slice of one case."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.lines import Line2D

from segdistill.data.geometry import Geometry
from segdistill.data.grid import plan_grid, to_grid
from segdistill.evaluation.grad_cam import CaseCam, voxel_on_grid
from segdistill.evaluation.metrics import bounding_box
from segdistill.report.figures.overlays import BLACK, LIGHT, show
from segdistill.report.figures.pictures import PLANES, Picture, contrast_channel
from segdistill.report.figures.style import SKY, Figure, as_png, drawn
from segdistill.report.words import fixed, points

TITLE = "Grad-CAM"
PANEL = 2.1  # inches
COLUMNS = 6  # in a row
FAINT = 0.25  # below this share of its maximum a map hardly shows


def draw(
    image: np.ndarray,
    reference: np.ndarray,
    geometry: Geometry,
    centre: Sequence[int],
    cams: Mapping[str, CaseCam],
    *,
    channels: Sequence[str],
    case: str,
    class_name: str,
    stage: str,
    axis: int | None = None,
) -> Figure:
    """Image and reference first, then a panel a network: its heat over the image, its answer, its Dice.

    The slice is that of `centre`, cut to the patches and turned as in the overlays of the report.

    Args:
        image: (C, *space) as in the files.
        reference: (*space) bool, the class in the label.
        centre: a voxel (*space).
        cams: name of a network -> its maps, on the same grid.
        axis: the axis of RAS+ to cut across; None: the one of the coarsest resolution, axial where there is none.
    """
    upright = plan_grid(geometry, None, len(geometry.shape))
    spacing, place = upright.spacing, voxel_on_grid(centre, upright)
    if axis is None:
        axis = int(np.argmax(spacing)) if max(spacing) > 1.2 * min(spacing) else 2

    def plane(array: np.ndarray) -> np.ndarray:
        """(C, *space) -> (C, rows, columns)."""
        if len(spacing) == 2:
            return array
        # Rows run from head (or front) to foot (or back), columns from the patient's right to left.
        turned = to_grid(array, upright, "nearest")
        return np.take(turned, place[axis], axis=1 + axis).swapaxes(1, 2)[:, ::-1, ::-1]

    seen = plane(np.any([cam.seen for cam in cams.values()], axis=0)[None])[0] > 0
    window = (slice(None), *bounding_box(seen, margin=0))
    rest = [step for number, step in enumerate(spacing) if len(spacing) == 2 or number != axis]
    aspect = rest[0] / rest[1] if len(spacing) == 2 else rest[1] / rest[0]
    shown = "" if len(spacing) == 2 else f"{PLANES[axis]} slice {place[axis] + 1} of {upright.target[axis]}"
    picture = Picture(plane(image)[window], plane(reference[None])[window], {}, aspect, shown)
    colour = len(image) == 3 and len(spacing) == 2
    channel = None if colour else contrast_channel(picture)
    heats = {name: plane(cam.heat[None])[window][0] for name, cam in cams.items()}
    notes = {name: _note(cam, heats[name], class_name) for name, cam in cams.items()}

    height, width = picture.reference.shape[1:]
    columns = min(1 + len(cams), COLUMNS)
    rows = -(-(1 + len(cams)) // columns)
    tall = min(max(PANEL * height * aspect / width, 0.8), 3.6)
    with drawn(PANEL * columns + 0.7, rows * (tall + 0.5) + 0.5, rows, columns) as (canvas, panels):
        canvas.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.02)  # type: ignore[union-attr, call-arg]
        for axes in panels:
            axes.set_axis_off()
            axes.set_anchor("S")
        show(panels[0], picture, channel, f"{case}\n{'Image' if channel is None else channels[channel]}")
        _outline(panels[0], picture.reference[0], "white", dashed=True)
        for axes, (name, cam) in zip(panels[1:], cams.items(), strict=False):
            show(axes, picture, channel, f"{name}\n{_dice(cam)}")
            axes.imshow(heats[name], cmap=HEAT, vmin=0, vmax=1, aspect=aspect)
            _outline(axes, plane(cam.seen[None])[window][0], LIGHT, dotted=True)
            _outline(axes, plane(cam.predicted[None])[window][0], SKY)
            _outline(axes, picture.reference[0], "white", dashed=True)
            note = textwrap.fill(notes[name], 14)  # a narrow picture has no room for more
            axes.text(0.5, 0.03, note, transform=axes.transAxes, color=LIGHT, fontsize=8, ha="center")
        bar = canvas.colorbar(
            ScalarMappable(Normalize(0, 1), HEAT), ax=panels, fraction=0.04, pad=0.015, aspect=22
        )
        bar.set_ticks([0, 0.5, 1], labels=["0", "0.5", "1"])
        bar.ax.tick_params(colors=LIGHT, labelsize=7.5, length=2)
        bar.outline.set_visible(False)
        bar.ax.set_facecolor("#5b6570")
        bar.set_label("share of each map's maximum", color=LIGHT, fontsize=8)
        marks = [
            Line2D(
                [], [], color="white", linestyle=(0, (3, 2)), linewidth=1.1, label=f"reference: {class_name}"
            ),
            Line2D([], [], color=SKY, linewidth=1.6, label="prediction"),
        ]
        canvas.legend(handles=marks, loc="outside lower center", ncols=2, fontsize=8, labelcolor=LIGHT)
        canvas.suptitle(
            f"{TITLE} of {class_name} at {stage}{f', {shown}' if shown else ''}", color=LIGHT, fontsize=9.5
        )
        png = as_png(canvas, background=BLACK, margin=0.08)
    return Figure(
        "grad-cam",
        TITLE,
        f"{TITLE} of {class_name} at {stage}; case {case}{f', {shown}' if shown else ''}. Dashed white: the reference; "
        "blue: the answer; bright: where the stage speaks for the answer. The Dice is that of the patch.",
        "; ".join(
            f"{name}: {_dice(cam)}" + f", {notes[name]}" * bool(notes[name]) for name, cam in cams.items()
        ),
        png,
    )


def _heat() -> ListedColormap:
    """Inferno, readable without colour vision, from clear (no evidence) to nearly opaque."""
    colours = matplotlib.colormaps["inferno"](np.linspace(0.25, 1, 256))
    colours[:, 3] = 0.8 * np.linspace(0, 1, 256) ** 0.7
    return ListedColormap(colours, name="heat")


HEAT = _heat()


def _dice(cam: CaseCam) -> str:
    return "no voxel in either" if cam.dice is None else f"patch Dice {fixed(points(cam.dice))}"


def _note(cam: CaseCam, shown: np.ndarray, class_name: str) -> str:
    """Why the map shown is empty, where it is."""
    if not cam.voxels:
        return f"no {class_name} to explain"
    if not cam.heat.any():
        return "no positive evidence"
    return "" if shown.max() >= FAINT else "evidence mostly in other slices"


def _outline(
    axes: Axes, mask: np.ndarray, colour: str, *, dashed: bool = False, dotted: bool = False
) -> None:
    inside = mask > 0
    if inside.any() and not inside.all():
        style = [(0, (3, 2))] if dashed else [(0, (1, 2))] if dotted else ["-"]
        width = 0.7 if dotted else 1.0 if dashed else 1.4
        axes.contour(inside.astype(float), levels=[0.5], colors=colour, linewidths=width, linestyles=style)
