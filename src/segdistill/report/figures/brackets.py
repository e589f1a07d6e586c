"""The models' mean Dice as bars, with brackets that carry p-values (the form of Teach-Former's Fig. 5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from segdistill.report.comparisons import ALONE, TEACHER, Compared, comparisons
from segdistill.report.evidence import Evidence, Model
from segdistill.report.figures.beside import called
from segdistill.report.figures.fitted import fitted, longest
from segdistill.report.figures.names import names_of
from segdistill.report.figures.style import (
    COLOURS,
    INK,
    NAMES,
    PAPER,
    Figure,
    Missing,
    as_png,
    as_svg,
    drawn,
)
from segdistill.report.leaks import MARK, legend
from segdistill.report.words import fixed, p_value

TITLE = "Mean Dice and what tests say of it"
HATCHES = {"teacher": "", "alone": "///", "distilled": "xx"}  # to be told apart without colour
MOST = 6  # brackets; with more, those to the teachers are left out
NARROW, WIDE = 62.0, 84.0  # points from bar to bar, by how wide the names are
LETTERS = 8.5


def draw(evidence: Evidence) -> Figure | Missing:
    """The figure; `Missing` where no two models here are compared."""
    models = _beside_each_other(evidence)
    every = [one for one in comparisons(evidence) if one.question in (ALONE, TEACHER) and _shown(one)]
    tests = every if len(every) <= MOST else [one for one in every if one.question == ALONE]
    if not tests:
        return Missing(TITLE, "no two models here can be compared on three cases or more")
    means = [100 * evidence.dice(m) for m in models]
    spreads = [100 * (m.spread("dice", evidence.cases_of(m)) or 0.0) for m in models]
    place = {id(m): k for k, m in enumerate(models)}
    spans = {
        id(one): tuple(sorted((place[id(one.student)], place[id(one.other)]))) for one in tests if one.other
    }
    tops = [mean + spread for mean, spread in zip(means, spreads, strict=True)]
    step = 0.085 * max(*tops, 1.0)
    heights = _heights(spans, tops, step)
    top = max(heights.values()) + step
    names = names_of(models)
    pitch = min(max(NARROW, *(6 + longest(names.of(m), LETTERS) for m in models)), WIDE)
    under = [fitted(names.of(m), pitch - 6, LETTERS) for m in models]
    deep = 0.14 * max(name.count("\n") for name in under)
    wide = max(4.6, 1.6 + pitch / 72 * len(models))
    with drawn(wide, 3.7 + 0.13 * len(tests) + deep) as (canvas, (axes,)):
        for k, (model, mean, spread) in enumerate(zip(models, means, spreads, strict=True)):
            bar = axes.bar(k, mean, 0.66, color=COLOURS[model.role], alpha=0.85, edgecolor=PAPER)
            bar.patches[0].set_hatch(HATCHES[model.role])
            if spread:
                axes.errorbar(k, mean, yerr=spread, color=INK, linewidth=1.1, capsize=3)
            label = axes.text(k, 0.02, fixed(mean) + MARK * evidence.tainted(model), ha="center", va="bottom",
                              fontsize=9, transform=axes.get_xaxis_transform())  # fmt: skip
            label.set_bbox({"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 1.6})
        for one in tests:
            _bracket(axes, spans[id(one)], heights[id(one)], step, _words(one))
        axes.set_ylim(0, top)
        ticks = [tick for tick in axes.get_yticks() if 0 <= tick <= min(100, max(tops))]
        axes.set_yticks(ticks)
        axes.spines["left"].set_bounds(0, ticks[-1])
        axes.set_xticks(range(len(models)), under, fontsize=LETTERS)
        axes.set_xlim(-0.6, len(models) - 0.4)
        axes.tick_params(axis="x", length=0)
        axes.set_ylabel("Dice (%)", y=0.45)
        if names.common:
            axes.set_xlabel(f"Distilled students: {names.common} \u2026")
        axes.grid(True, axis="y")
        axes.set_axisbelow(True)
        roles = [role for role in NAMES if any(m.role == role for m in models)]
        handles = [
            Patch(
                facecolor=COLOURS[role], alpha=0.85, edgecolor=PAPER, hatch=HATCHES[role], label=NAMES[role]
            )
            for role in roles
        ]
        canvas.legend(handles=handles, loc="outside upper left", ncols=len(handles), handlelength=1.6)
        adjusted = "adjusted by Holm's method for all students" if any(t.family > 1 for t in tests) else ""
        return Figure(
            "brackets",
            TITLE,
            f"Means over {evidence.noun}s, error bars the standard deviation over {evidence.over}. A bracket is a "
            f"paired t-test over cases{f', its p-value {adjusted}' if adjusted else ''}; solid where the difference is "
            "settled (a gain or a loss), dashed where chance alone may explain it."
            f"{names.said}{legend(evidence.tainted(m) for m in models)}",
            "Bars of the mean Dice: "
            + "; ".join(f"{called(m)} {fixed(mean)} %" for m, mean in zip(models, means, strict=True))
            + ". Tests: "
            + "; ".join(f"{one.student.short} against {one.name} {_words(one)[0]}" for one in tests),
            as_png(canvas),
            as_svg(canvas),
        )


def _beside_each_other(evidence: Evidence) -> list[Model]:
    """Teachers first, then each student alone with what was distilled from the same network, the best first."""
    shown = [m for m in evidence.models if m.evaluated]
    order = [m for m in shown if m.role == "teacher"]
    for alone in (m for m in shown if m.role == "alone"):
        order.append(alone)
        own = [c.student for c in evidence.comparisons if c.alone is alone and c.student.evaluated]
        order += sorted(own, key=evidence.dice, reverse=True)
    return order + [m for m in shown if m not in order]


def _shown(one: Compared) -> bool:
    known = one.test.interval is not None and one.test.difference is not None
    return known and one.other is not None and not one.tainted and one.adjusted is not None


def _heights(spans: dict[int, tuple[int, ...]], tops: Sequence[float], step: float) -> dict[int, float]:
    """Where each bracket lies: above the bars that it spans, and above the shorter brackets that it would meet."""
    found: dict[int, float] = {}
    for key in sorted(spans, key=lambda key: (spans[key][1] - spans[key][0], spans[key])):
        left, right = spans[key]
        below = [found[other] + 0.5 * step for other in found if _meet(spans[key], spans[other])]
        found[key] = max([*tops[left : right + 1], *below]) + 0.5 * step
    return found


def _meet(one: Iterable[int], other: Iterable[int]) -> bool:
    (a, b), (c, d) = one, other
    return (a < d and c < b) or (a, b) == (c, d)


def _bracket(axes: Axes, span: tuple[int, ...], height: float, step: float, words: tuple[str, bool]) -> None:
    left, right = span[0] + 0.06, span[1] - 0.06
    line = "-" if words[1] else "--"
    foot = height - 0.16 * step
    axes.plot([left, right], [height, height], color=INK, linewidth=1.1, linestyle=line)
    for end in (left, right):
        axes.plot([end, end], [foot, height], color=INK, linewidth=1.1, solid_capstyle="projecting")
    axes.text((left + right) / 2, height + 0.06 * step, words[0], ha="center", va="bottom", fontsize=8.5)


def _words(one: Compared) -> tuple[str, bool]:
    """The p-value, and whether the difference is settled."""
    return p_value(one.adjusted if one.adjusted is not None else 1.0), one.outcome in ("gain", "loss")
