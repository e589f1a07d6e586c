"""The page of losses."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from segdistill.catalogue import rows
from segdistill.composition import shipped
from segdistill.losses import LOSSES, SEGMENTATION_LOSSES
from segdistill.recipe import Recipe
from segdistill.reference.markdown import block, bullets, contents, document, prose, sentence
from segdistill.reference.settings import described, with_defaults

FLAGS = {  # of a row: in words where it is on, and where it is off
    "zero_at_equal": (
        "0 where student and teacher say the same",
        "not 0 where student and teacher say the same",
    ),
    "batch_invariant": (
        "each sample counts by itself",
        "the samples of a batch are compared with each other",
    ),
    "patch_invariant": (
        "a weight means the same at every patch size",
        "what a weight means depends on the patch size",
    ),
    "differentiable_at_equal": (
        "its gradient is 0 where both say the same",
        "its gradient is not 0, or not defined, where both say the same",
    ),
}
INTRO = """\
A distillation loss compares a map of the student with one of a teacher. Symbols: s and t are the maps of student and
teacher, p and q their probabilities; n counts the N voxels, c the C channels, k the K classes, b the B samples of the
batch; y is the label, T the temperature. Class terms are summed over classes and averaged over voxels and batch.
Memory is what a loss holds beside the two maps, in elements."""


def page() -> str:
    """Distillation losses by kind, then supervised ones."""
    found = rows("losses")
    recipes = _recipes_by_loss()
    blocks = [INTRO, contents(found, "kind")]
    for kind, group in groupby(found, lambda row: row["kind"]):
        blocks.append(f"## {kind.capitalize()} losses")
        for row in group:
            blocks += [f"### {row['name']}", sentence(row["summary"])]
            supervised = kind == "segmentation"
            blocks += (
                _supervised(row["name"]) if supervised else _loss(row["name"], recipes.get(row["name"], ()))
            )
    return document("Losses", *blocks)


def _supervised(name: str) -> list[str]:
    row = SEGMENTATION_LOSSES[name]
    example = f"segmentation:\n  loss: {with_defaults(name, SEGMENTATION_LOSSES)}"
    return [f"Source: {prose(row.reference)}", *described(row.part), "Example:", block("yaml", example)]


def _loss(name: str, recipes: Iterable[str]) -> list[str]:
    row = LOSSES[name]
    facts = [
        f"Source: {prose(row.reference)}",
        f"Memory: `{row.memory}`",
        f"Needs: {'the label' if getattr(row.part, 'needs_label', False) else 'the two maps only'}",
        f"Widths of the two maps: {_widths(row.part)}",
        f"Overlapping regions: {_regions(row.part)}",
        "Value: " + "; ".join(on if getattr(row, flag) else off for flag, (on, off) in FLAGS.items()),
    ]
    if recipes:
        facts.append("Recipes: " + ", ".join(f"[{recipe}](recipes.md#{recipe})" for recipe in recipes))
    example = block("yaml", _example(name))
    return [block("text", row.formula), bullets(facts), *described(row.part), "Example:", example]


def _regions(part: Any) -> str:
    """What becomes of regions that overlap, whose outputs are sigmoids."""
    if "class_prior" in inspect.signature(part).parameters:
        return "refused, as it needs the shares of exclusive classes"
    if getattr(part, "over_classes", False):
        return "each reaches it as a two-class problem, inside or outside"
    return "their sigmoid logits reach it as they are"


def _widths(part: Any) -> str:
    words = "must be equal, or the term has a projector" if _equal_width(part) else "may differ"
    depends = isinstance(getattr(part, "needs_equal_width", None), property)
    return f"by default they {words}; it depends on the settings" if depends else words


def _equal_width(part: Any) -> bool:
    """Whether the maps must have as many channels as each other, by default; a loss that does not say must."""
    return bool(getattr(part(), "needs_equal_width", True))


def _example(name: str) -> str:
    """A term with this loss, every setting written out, as the section `terms` of a recipe."""
    row = LOSSES[name]
    lines = ["terms:", f"  {name}:", f"    loss: {with_defaults(name, LOSSES)}"]
    if row.kind in ("feature", "relation"):
        lines += ["    student: encoder/deepest", "    teacher: encoder/deepest"]
        lines += ["    projector: convolution"] if _equal_width(row.part) else []
    return "\n".join([*lines, "    weight: 1.0"])


def _recipes_by_loss() -> dict[str, list[str]]:
    """Which recipes take a loss in their terms."""
    found: dict[str, list[str]] = {}
    for name in shipped():
        for kind in dict.fromkeys(term.loss["type"] for term in Recipe.load(name).terms.values()):
            found.setdefault(kind, []).append(name)
    return found
