"""Where in the networks computation and weights lie: shares of each, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from segdistill.report.evidence import Evidence, Model
from segdistill.report.figures.style import BLUE, INK, ORANGE, PAPER, Figure, Missing, as_png, as_svg, drawn
from segdistill.report.run_cost import StageShare
from segdistill.report.words import fixed

TITLE = "Cost by stage"
MOST = 8  # networks
WIDE = 7.0  # percent: a narrower part has no room for its stride
SIDES = {"encoder": (BLUE, ""), "decoder": (ORANGE, "////"), "rest": ("#9aa4ae", "")}
PALEST = 0.75  # how much paper is in the colour of the deepest stage


def draw(evidence: Evidence) -> Figure | Missing:
    """The figure; `Missing` where no run tells what its stages cost."""
    models = _networks(evidence)
    if not models:
        return Missing(TITLE, "no run tells what its stages cost (cost.json of an earlier version)")
    shares = [_by_stride(model.cost.stages if model.cost else ()) for model in models]
    said = [
        f"{_name(model)}: " + ", ".join(f"{stage} {fixed(macs)} %" for stage, macs, _ in parts)
        for model, parts in zip(models, shares, strict=True)
    ]
    with drawn(8.6, 1.5 + 0.42 * len(models), 1, 2) as (canvas, axes):
        for place, title in enumerate(("Multiply-adds", "Parameters")):
            panel = axes[place]
            for row, parts in enumerate(shares):
                _bar(panel, row, [(stage, (macs, parameters)[place]) for stage, macs, parameters in parts])
            panel.set_yticks(range(len(models)), [_name(model) for model in models] if place == 0 else [])
            panel.invert_yaxis()
            panel.set_xlim(0, 100)
            panel.set_xlabel(f"{title} (% of the network)")
            panel.tick_params(left=False)
        handles = [
            Patch(facecolor=colour, edgecolor=PAPER, hatch=hatch, label=name)
            for name, (colour, hatch) in SIDES.items()
        ]
        canvas.legend(handles=handles, loc="outside upper left", ncols=3)
        return Figure(
            "cost-by-stage",
            TITLE,
            "Shares of each network; numbers are strides (1: full resolution), paler is deeper. What runs between two "
            "named stages counts to the second; the rest is the output convolution and what has no stage.",
            f"Share of the multiply-adds by stage: {'; '.join(said)}",
            as_png(canvas),
            as_svg(canvas),
        )


def _networks(evidence: Evidence) -> list[Model]:
    """A model for each network that differs from the others, teachers first."""
    found: dict[tuple[str, int | None], Model] = {}
    for model in evidence.models:
        if model.cost and model.cost.stages and model.cost.parameters:
            found.setdefault((model.network, model.cost.parameters), model)
    return list(found.values())[:MOST]


def _name(model: Model) -> str:
    """Not the method: the network is the same with any."""
    return f"{model.short.partition(' ')[0]} {model.network}"


def _by_stride(stages: Sequence[StageShare]) -> list[tuple[str, float, float]]:
    """Side and stride, percent of the multiply-adds, percent of the parameters: from input to output."""
    sums: dict[tuple[str, int], list[float]] = {}
    for one in stages:
        side, _, rest = one.stage.partition("/")
        stride = int(rest.partition("/")[0] or 0) if side in ("encoder", "decoder") else 0
        total = sums.setdefault((side if stride else "rest", stride), [0.0, 0.0])
        total[0] += one.macs
        total[1] += one.parameters
    macs, parameters = (max(sum(pair[k] for pair in sums.values()), 1) for k in (0, 1))
    order = sorted(
        sums, key=lambda key: (list(SIDES).index(key[0]), key[1] if key[0] == "encoder" else -key[1])
    )
    return [
        (
            f"{side}/{stride}" if stride else side,
            100 * sums[side, stride][0] / macs,
            100 * sums[side, stride][1] / parameters,
        )
        for side, stride in order
    ]


def _bar(axes: Axes, row: int, parts: Sequence[tuple[str, float]]) -> None:
    deepest = max((int(name.partition("/")[2] or 1) for name, _ in parts), default=1)
    left = 0.0
    for name, share in parts:
        side, _, stride = name.partition("/")
        colour, hatch = SIDES[side]
        depth = int(stride or 1).bit_length() - 1
        pale = PALEST * depth / max(deepest.bit_length() - 1, 1)
        shade = tuple((1 - pale) * a + pale * b for a, b in zip(to_rgb(colour), to_rgb(PAPER), strict=True))
        axes.barh(
            row, share, left=left, height=0.66, color=shade, edgecolor=PAPER, linewidth=0.8, hatch=hatch
        )
        if share >= WIDE and stride:
            ink = PAPER if side == "encoder" and pale < PALEST / 2 else INK
            label = axes.text(left + share / 2, row, stride, ha="center", va="center", fontsize=8, color=ink)
            label.set_bbox({"facecolor": shade, "edgecolor": "none", "pad": 0.6})
        left += share
