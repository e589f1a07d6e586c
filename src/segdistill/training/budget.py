"""A student within a budget, in its run: chosen once, and told."""

from __future__ import annotations

from segdistill.cost.budget import Choice
from segdistill.recipe import Recipe
from segdistill.run import Run


def with_its_student(recipe: Recipe, run: Run) -> Recipe:
    """A recipe whose student has a budget, with the student that an interrupted run of it has already chosen.

    On another machine the same budget could choose another one.
    """
    begun = run.info.get("budget") if run.file("run.json").is_file() else None
    if begun is None or begun["asked"] != recipe.student:
        return recipe
    return recipe.model_copy(update={"student": dict(run.recipe.student)})


def tell(choice: Choice, run: Run) -> None:
    """Show what was weighed for the student's budget, and what was chosen."""
    when = "were weighed by an earlier run" if choice.earlier else "were weighed"
    run.note(f"student.budget: {len(choice.weighed)} widths of {choice.part['type']} {when}:")
    for line in choice.told():
        run.note(f"  {line}")
    if all(row.fits for row in choice.weighed):
        run.note("  even the widest that it may become fits: the budget makes nothing smaller")
    if choice.kept is not None:
        run.note(
            f"  measured on this machine, which should do nothing else meanwhile; all runs keep to it: delete "
            f"{choice.kept} to measure again"
        )
