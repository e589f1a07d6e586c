"""How all figures look: Okabe-Ito colours, a mark beside each colour, ink that follows the page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

# In the page INK, PAPER, BLUE and OPEN become its own colours, light or dark.
INK, PAPER = "#1d2733", "#fdfefe"
BLUE, GREEN, VERMILION, ORANGE = "#0072B2", "#009E73", "#D55E00", "#E69F00"
SKY, PURPLE, YELLOW = "#56B4E9", "#CC79A7", "#F0E442"
OPEN = "#8a6100"  # of what is not settled, as in the page: for thin lines on paper, orange is too pale
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)

COLOURS = {"teacher": BLUE, "alone": GREEN, "distilled": VERMILION}
MARKS = {"teacher": "s", "alone": "o", "distilled": "D"}
NAMES = {"teacher": "Teacher", "alone": "Student alone", "distilled": "Distilled student"}
LINES: tuple[str | tuple[int, tuple[int, ...]], ...] = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))

STYLE: dict[Any, Any] = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.unicode_minus": True,
    "figure.dpi": 100,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "grid.color": INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # a case named "a$b$" is shown as it is
    "xtick.color": INK,
    "xtick.major.width": 0.8,
    "ytick.color": INK,
    "ytick.major.width": 0.8,
}


@dataclass(frozen=True)
class Figure:
    """A finished figure. `name` is its file name without suffix; overlays have no SVG."""

    name: str
    title: str
    caption: str
    alt: str
    png: bytes
    svg: str | None = None


@dataclass(frozen=True)
class Missing:
    """A figure that could not be made, and why."""

    title: str
    reason: str


@contextmanager
def drawn(
    width: float, height: float, rows: int = 1, columns: int = 1
) -> Iterator[tuple[Canvas, list[Axes]]]:
    """An empty figure (inches) and its axes, row by row, in the style of the report."""
    # Without pyplot: the backend of a caller's notebook stays as it is, and nothing has to be closed.
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "segdistill"}):
        canvas = Canvas(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(canvas)
        yield canvas, list(canvas.subplots(rows, columns, squeeze=False).flat)


def as_png(canvas: Canvas, dpi: int = 160, background: str = "white", margin: float | None = None) -> bytes:
    """The figure as PNG; with a margin (inches), cut to what is drawn and that much around it."""
    buffer = io.BytesIO()
    cut = None if margin is None else "tight"
    canvas.savefig(buffer, format="png", dpi=dpi, facecolor=background, bbox_inches=cut,
                   pad_inches=margin or 0, metadata={"Software": None})  # fmt: skip
    return buffer.getvalue()


def as_svg(canvas: Canvas) -> str:
    """The figure as SVG without prologue, date or font name, the same on each run."""
    buffer = io.StringIO()
    canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    return re.sub(r"font: ([0-9.]+px) [^;\"]*", r"font-size: \1; font-family: sans-serif", text)


def for_page(figure: Figure) -> str:
    """The SVG to put into the page: ids of its own, and ink and paper in the colours of the page."""
    text = figure.svg or ""
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{figure.name}-", text)
    text = text.replace("font-family: sans-serif", "font-family: inherit")
    text = (
        text.replace(INK, "currentColor")
        .replace(PAPER, "var(--paper)")
        .replace(BLUE.lower(), "var(--blue)")
        .replace(OPEN, "var(--open)")
    )
    head, end, rest = text.partition(">")
    width = re.search(r' width="([0-9.]+)pt"', head)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    return f'{head} style="--wide: {float(width[1]) / 72 if width else 7:.2f}in"{end}{rest}'
