"""`segdistill study tune`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from segdistill.cli.arguments import AsJson, Words, recipe_from


def tune_command(
    words: Words,
    trials: Annotated[int, typer.Option(help="In all, those of an earlier start too.", min=1)] = 20,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="[default: runs/tuning]", show_default=False)
    ] = None,
    affine: Annotated[bool, typer.Option(help="Also search small rotations and scaling.")] = True,
    as_json: AsJson = False,
) -> None:
    """Tune the student alone, so that the baseline has its best chance: learning rate and augmentation, by Optuna on
    the validation cases.

    The first trial has the recipe's own settings. Writes tuned.yaml, a protocol to lay over recipes and studies. Needs
    `pip install 'segdistill[tune]'`. The same command goes on with what was interrupted.

    **Examples**

      segdistill study tune student_alone data.path=Dataset101_Sarcoma student.preset=s1 --trials 20

      segdistill distill teach_former runs/tuning/tuned.yaml data.path=Dataset101_Sarcoma --baseline
    """
    from segdistill.study.tuning import tune

    console = Console(stderr=True)

    def look(done: int, value: float, best: float) -> None:
        console.print(
            f"trial {done}/{trials}: Dice {100 * value:.1f}, best {100 * best:.1f}", highlight=False
        )

    found = tune(recipe_from(words), out or Path("runs/tuning"), trials=trials, affine=affine, look=look)
    if as_json:
        print(
            json.dumps(
                {"file": str(found.file), "best": found.best, "before": found.before, "trials": found.trials}
            )
        )
        return
    console.print(
        f"validation Dice {100 * found.before:.1f} before, {100 * found.best:.1f} after {found.trials} trials",
        highlight=False,
    )
    print(found.file)
