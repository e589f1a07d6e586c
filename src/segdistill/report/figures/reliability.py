"""Reliability diagram: how often the models are right where they say that they are so sure."""

from __future__ import annotations

from typing import Any

import numpy as np

from segdistill.evaluation.calibration import EDGES, MARGIN_MM
from segdistill.report.evidence import Evidence
from segdistill.report.figures.beside import LOOKS, beside, called
from segdistill.report.figures.style import COLOURS, INK, MARKS, PAPER, Figure, Missing, as_png, as_svg, drawn
from segdistill.report.leaks import MARK, legend
from segdistill.report.tables.calibration import calibrated, reliability
from segdistill.report.words import fixed

TITLE = "Reliability"
FEWEST = 20  # voxels; the accuracy of fewer is noise


def draw(evidence: Evidence) -> Figure | Missing:
    """The figure; `Missing` where no run tells how sure it was."""
    models = [(m, reliability(m, evidence.cases_of(m))) for m in beside(evidence, calibrated)]
    models = [(m, bins) for m, bins in models if bins.ece is not None]
    if not models:
        return Missing(TITLE, "no run here tells how sure it was; `segdistill evaluate` finds out")
    with drawn(5.4, 5.6, 2) as (canvas, (axes, below)):
        grid = axes.get_gridspec()
        assert grid is not None
        grid.set_height_ratios([3.2, 1])
        axes.plot([0, 100], [0, 100], color=INK, linewidth=1, linestyle=(0, (2, 3)), alpha=0.7)
        surest, rightest = [100.0], [100.0]  # the lowest of each
        told = []
        for model, bins in models:
            enough = bins.n >= FEWEST
            n = bins.n[enough]
            sure, right = 100 * bins.confidence[enough] / n, 100 * bins.correct[enough] / n
            label = f"{called(model)}{MARK * evidence.tainted(model)}: ECE {fixed(100 * (bins.ece or 0.0))} %"
            look: dict[str, Any] = {"color": COLOURS[model.role], "linestyle": LOOKS[model.role]}
            axes.plot(sure, right, marker=MARKS[model.role], markersize=5.5, markeredgecolor=PAPER, label=label,
                      **look)  # fmt: skip
            share = 100 * bins.n / bins.n.sum()
            below.stairs(share, 100 * EDGES, linewidth=1.6, **look)
            surest += [100 * EDGES[np.flatnonzero(enough)[0]]] if enough.any() else []
            rightest += [*sure, *right]
            told.append(label)
        left, low = (max(0.0, 10 * np.floor((min(each) - 1) / 10)) for each in (surest, rightest))
        axes.set_xlim(left, 100.5)
        axes.set_ylim(low, 101.5)
        below.sharex(axes)
        below.set_ylim(0, None)
        axes.set_ylabel("Right (% of voxels)")
        for x, y, words in ((0.02, 0.96, "too unsure"), (0.98, 0.03, "too sure")):
            axes.text(x, y, words, transform=axes.transAxes, fontsize=8.5, alpha=0.8,
                      ha="left" if x < 0.5 else "right", va="top" if x < 0.5 else "bottom")  # fmt: skip
        below.set_xlabel("Confidence of the likeliest class (%)")
        below.set_ylabel("Voxels (%)")
        for each in (axes, below):
            each.grid(True)
        canvas.legend(loc="outside upper left", ncols=1, handlelength=3)
        return Figure(
            "reliability",
            TITLE,
            "On the dotted diagonal a model is right as often as it says. Voxels within "
            f"{MARGIN_MM:g} mm of prediction or reference, of all cases and seeds together (so is this ECE), in bins "
            f"of equal width; those with fewer than {FEWEST} voxels are left out. Below: how many voxels have that "
            "confidence."
            f"{legend(evidence.tainted(m) for m, _ in models)}",
            "Reliability diagram. " + "; ".join(told),
            as_png(canvas),
            as_svg(canvas),
        )
