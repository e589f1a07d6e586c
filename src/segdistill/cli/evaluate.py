"""`segdistill evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from segdistill.cli.arguments import AsJson, Device

SHOWN = {"dice": "Dice", "iou": "IoU", "hd95": "HD95 mm", "assd": "ASSD mm", "nsd": "NSD", "rvd": "RVD"}


def evaluate_command(
    run: Annotated[Path, typer.Argument(help="Run folder.", show_default=False)],
    subset: Annotated[
        Literal["test", "validation", "train"] | None,
        typer.Option(
            help="Cases to score.  (default: test, or validation where there are none)", show_default=False
        ),
    ] = None,
    device: Device = "auto",
    predictions: Annotated[
        bool, typer.Option(help="Keep the masks, on the original grids, in RUN/predictions.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Score a run on whole images, case by case, in the images' own grids.

    Dice, IoU, HD95, ASSD, NSD at the recipe's tolerance and RVD, with spacing; beside them what an all-background
    answer scores (and, for one-class volumes, an ellipsoid on the image's centre). Where reference and prediction are
    both empty a case is counted apart, not averaged. Cases that a teacher had learnt from are marked, and summed up
    apart. Everything is in RUN/metrics.json.

    **Example**

      segdistill evaluate runs/student --json
    """
    from segdistill.run import Run

    opened = Run.open(run)  # before what is heavy is imported: a mistake is told at once
    from segdistill.evaluation.evaluate import evaluate

    if not opened.finished:
        _warn(f"{run} is not finished; these are the figures of its best checkpoint so far")
    result = evaluate(opened, subset=subset, device=device, predictions=predictions)
    cases = len({row["case"] for row in result["cases"]})
    for teacher, learnt in result.get("leaks", {}).items():
        _warn(
            f"teacher {teacher} had learnt from {len(learnt)} of these {cases} cases "
            f"({', '.join(learnt[:3])}{', ...' if len(learnt) > 3 else ''}); what the student scores on them is no "
            "evidence"
        )
    if as_json:
        print(json.dumps(result))
        return
    table = Table(
        title=f"{run.name}: {cases} {result['split']} cases, mean ± standard deviation over cases",
        title_justify="left",
    )
    table.add_column("")
    for title in SHOWN.values():
        table.add_column(title, justify="right")
    answers = {"": result["summary"]}
    if "summary_without_leaks" in result:
        answers["without leaking cases"] = result["summary_without_leaks"]
    answers |= {name: found["summary"] for name, found in result["baselines"].items()}
    for answer, summary in answers.items():
        for name, metrics in summary.items():
            if name != "mean" or len(result["classes"]) > 1:
                table.add_row(
                    f"{name} ({answer.replace('_', ' ')})" if answer else name,
                    *map(_shown, _numbers(metrics)),
                )
    Console().print(table)


def _warn(told: str) -> None:
    Console(stderr=True).print(
        f"warning: {told}", style="yellow", highlight=False, markup=False, soft_wrap=True
    )


def _numbers(metrics: dict[str, dict[str, float | None]]) -> list[dict[str, float | None]]:
    return [metrics[key] for key in SHOWN]


def _shown(numbers: dict[str, float | None]) -> str:
    if numbers["mean"] is None:
        return "–"
    spread = "" if numbers["std"] is None else f" ± {numbers['std']:.3f}"
    missing = f" ({numbers['undefined']:.0f} undefined)" if numbers.get("undefined") else ""
    return f"{numbers['mean']:.3f}{spread}{missing}"
