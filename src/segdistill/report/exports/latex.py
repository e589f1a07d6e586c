r"""A table as papers print it: booktabs, best student in bold, the difference to the student alone with its interval.

The file is a `table*` to be taken in by `\input`; it needs the packages booktabs and graphicx, nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from segdistill import __version__
from segdistill.report import cautions
from segdistill.report.comparisons import ALONE, find, judging_p
from segdistill.report.evidence import Evidence, Model
from segdistill.report.exports.figure import Figure, defined, figure
from segdistill.report.exports.latex_text import escaped
from segdistill.report.scores import mean
from segdistill.report.tables import ROLES
from segdistill.report.words import BASELINES, count

NONE = "--"


@dataclass(frozen=True)
class Quantity:
    """A column of numbers."""

    title: str
    scale: float
    digits: int
    higher: bool  # is better


METRICS = {
    "dice": Quantity(r"Dice $\uparrow$", 100, 1, True),
    "iou": Quantity(r"IoU $\uparrow$", 100, 1, True),
    "hd95": Quantity(r"HD95 $\downarrow$", 1, 1, False),
    "assd": Quantity(r"ASSD $\downarrow$", 1, 2, False),
    "nsd": Quantity(r"NSD $\uparrow$", 100, 1, True),
}
SIZES: tuple[tuple[Quantity, Callable[[Model], float | None]], ...] = (
    (Quantity("Par. (M)", 1e-6, 2, False), lambda model: model.cost.parameters if model.cost else None),
    (Quantity("GMACs", 1e-9, 2, False), lambda model: model.cost.macs if model.cost else None),
)
COLUMNS = 1 + len(SIZES) + len(METRICS) + 2


def render(evidence: Evidence) -> str:
    """The table as text, for UTF-8 files."""
    return "\n".join(_lines(evidence)) + "\n"


def _lines(evidence: Evidence) -> Iterator[str]:
    yield f"% Made by segdistill {__version__}. Needs \\usepackage{{booktabs}} and \\usepackage{{graphicx}}."
    serious = dict.fromkeys(one.title for one in cautions.examine(evidence) if one.severity == "serious")
    if serious:
        yield f"% Beware, the report warns: {', '.join(serious)}."
    yield from (r"\begin{table*}[t]", r"\centering", f"\\caption{{{_caption(evidence)}}}")
    yield from (r"\label{tab:segdistill}", r"\smallskip", r"\resizebox{\textwidth}{!}{%")
    yield f"\\begin{{tabular}}{{@{{}}l{'r' * (COLUMNS - 1)}@{{}}}}"
    yield r"\toprule"
    titles = [quantity.title for quantity, _ in SIZES] + [quantity.title for quantity in METRICS.values()]
    yield _row(["Model", *titles, r"$\Delta$ Dice [95\,\% CI]", "$p$"])
    best = _best(evidence)
    for role, title in ROLES.items():
        models = evidence.of(role)
        if models:
            yield from (r"\midrule", f"\\multicolumn{{{COLUMNS}}}{{@{{}}l}}{{\\emph{{{title}}}}} \\\\")
        for model in models:
            yield _row(
                [_name(model), *_sizes(model), *_scores(model, evidence, best), *_gain(model, evidence)]
            )
    if evidence.baselines:
        yield from (r"\midrule", f"\\multicolumn{{{COLUMNS}}}{{@{{}}l}}{{\\emph{{Look at no image}}}} \\\\")
    for name, scores in evidence.baselines.items():
        over = evidence.cases or scores.cases
        values = [
            _number(defined(mean([scores.of(case, metric) for case in over])), quantity)
            for metric, quantity in METRICS.items()
        ]
        label = escaped(BASELINES.get(name, name).capitalize())
        yield _row([label, *[NONE] * len(SIZES), *values, NONE, NONE])
    yield from (r"\bottomrule", r"\end{tabular}}", r"\end{table*}")


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _name(model: Model) -> str:
    tag, _, rest = model.short.partition(" ")
    whole = rest.startswith("(") and rest.endswith(")")
    told = rest[1:-1] if whole else rest
    return escaped(f"{tag}: {model.network}" + (f", {told}" if told else ""))


def _sizes(model: Model) -> list[str]:
    return [_number(value(model), quantity) for quantity, value in SIZES]


def _best(evidence: Evidence) -> dict[str, str]:
    """The best figure of the students in each metric, as it is printed: equal ones are all bold."""
    students = [m for m in evidence.models if m.role != "teacher" and m.evaluated and not evidence.tainted(m)]
    best = {}
    for metric, quantity in METRICS.items():
        values = [figure(model, evidence, metric).mean for model in students]
        known = [value for value in values if value is not None]
        if len(known) > 1:
            best[metric] = _digits(max(known) if quantity.higher else min(known), quantity)
    return best


def _scores(model: Model, evidence: Evidence, best: dict[str, str]) -> Iterator[str]:
    tainted = bool(model.evaluated) and evidence.tainted(model)
    for metric, quantity in METRICS.items():
        found = figure(model, evidence, metric) if model.evaluated else Figure(None, None, (), 0)
        if found.mean is None:
            yield NONE
            continue
        text = _digits(found.mean, quantity)
        bold = model.role != "teacher" and not tainted and text == best.get(metric)
        text = f"\\mathbf{{{text}}}" if bold else text
        text += f" \\pm {_digits(found.spread, quantity)}" if found.spread is not None else ""
        yield f"${text}$" + (r"\textsuperscript{\textdagger}" if tainted else "")


def _gain(model: Model, evidence: Evidence) -> tuple[str, str]:
    """The difference in Dice to the same network trained alone, and the p-value that it is judged by."""
    one = find(evidence, ALONE, model)
    if one is None or one.test.difference is None:
        return NONE, NONE
    dice = METRICS["dice"]
    text = f"${_signed(one.test.difference, dice)}$"
    if one.test.interval is not None:
        low, high = (_signed(end, dice) for end in one.test.interval)
        text += f" [${low}$, ${high}$]"
    if any(other.differences for other in evidence.comparisons if other.student is model):
        text += r"\textsuperscript{\textdaggerdbl}"
    if one.tainted:
        return text + r"\textsuperscript{\textdagger}", NONE
    p = judging_p(one.test) if one.adjusted is None else one.adjusted
    return text, NONE if p is None else "$<0.001$" if p < 0.001 else f"${p:.{3 if p < 0.1 else 2}f}$"


def _family(evidence: Evidence) -> int:
    """How many students were tested against themselves alone, so that the p-values are adjusted."""
    found = [find(evidence, ALONE, model) for model in evidence.of("distilled")]
    return max((one.family for one in found if one is not None), default=0)


def _digits(value: float, quantity: Quantity) -> str:
    text = f"{quantity.scale * value:.{quantity.digits}f}"
    return text.lstrip("-") if not float(text) else text


def _signed(value: float, quantity: Quantity) -> str:
    text = _digits(value, quantity)
    return f"+{text}" if float(text) > 0 else text


def _number(value: float | None, quantity: Quantity) -> str:
    return NONE if value is None else f"${_digits(value, quantity)}$"


def _caption(evidence: Evidence) -> str:
    name = next((run.dataset for run in evidence.runs if run.dataset), "")
    cases = (
        count(len(evidence.cases), evidence.noun) if evidence.cases else f"each model's own {evidence.noun}s"
    )
    forgiven = f" (tolerance {evidence.tolerance:g} mm)" if evidence.tolerance is not None else ""
    seeds = {
        len(model.repetitions) for model in evidence.models if model.role != "teacher" and model.evaluated
    }
    of_each = f" over {next(iter(seeds), 0)} {evidence.over} of each student"
    over = of_each if len(seeds) == 1 else f" over {evidence.over}"
    parts = [
        f"Results{f' on {name}' if name else ''}: means over {cases} and the foreground classes",
        f", \u00b1 standard deviation{over}. " if seeds - {1} else ", one seed. ",
        f"Dice, IoU and NSD{forgiven} in percent, HD95 and ASSD in mm. ",
    ]
    text = escaped("".join(parts)) + (r" Bold: the best student." if _best(evidence) else "")
    if any(_gain(model, evidence)[0] != NONE for model in evidence.of("distilled")):
        text += (
            r" $\Delta$: percentage points over the same network trained alone, with the bootstrap interval and the "
            r"$p$-value of the paired $t$-test over cases, seeds averaged within each case first"
        )
        text += f", adjusted for {family} students (Holm)." if (family := _family(evidence)) > 1 else "."
    if any(evidence.tainted(model) for model in evidence.models if model.evaluated):
        text += r" \textsuperscript{\textdagger}Over cases that a teacher had learnt from: no evidence."
    if any(one.differences for one in evidence.comparisons):
        text += r" \textsuperscript{\textdaggerdbl}The two were not trained alike in other respects too."
    return re.sub(r"  +", " ", text)
