"""The page of recipes."""

from __future__ import annotations

import re
from itertools import groupby

from segdistill.catalogue import rows
from segdistill.composition import read, shipped
from segdistill.recipe import Recipe
from segdistill.reference.equation import equation, terms
from segdistill.reference.markdown import block, bullets, contents, document, prose, sentence
from segdistill.reference.roles import roles

INTRO = """\
A recipe is one YAML file: `segdistill distill RECIPE data.path=FOLDER`. Its status says how near it is to its source:
`exact` follows the formulas of the paper or its code, `close` fills gaps as told, `inspired` has the idea only.
The source of each term and what it costs in memory beside its maps are those of its [loss](losses.md). Where there are
several teachers, each term is taken with each of them, and `combine` says what each counts."""


def page() -> str:
    """The header of each recipe's file, who teaches whom in it, and what it adds up."""
    found = rows("recipes")
    blocks = [INTRO, contents(found, "kind", "status"), "## The recipes"]
    for row in found:
        recipe, raw = Recipe.load(row["name"]), read(row["name"])
        facts = [f"Kind: {row['kind']}", f"Status: {row['status']}"]
        facts += [f"Source: {prose(row['reference'])}"] if row["reference"] else []
        facts += [f"Needs: {', '.join(row['needs'])}"] if row["needs"] else []
        blocks += [f"### {row['name']}", sentence(row["summary"]), bullets([*facts, *roles(recipe, raw)])]
        blocks += _header(shipped()[row["name"]].read_text(encoding="utf-8"))
        if recipe.kind != "protocol":
            blocks += ["What it adds up:", block("text", equation(recipe)), terms(recipe, raw)]
        blocks += ["Example:", block("bash", example(recipe))]
    return document("Recipes", *blocks)


def _header(text: str) -> list[str]:
    """The comment at the head of a recipe; its command lines are blocks of code."""
    comment = text[: text.index("\nname: ")].splitlines()
    lines = [line.removeprefix("#").removeprefix(" ").rstrip() for line in comment]
    blocks = []
    for command, group in groupby(lines, lambda line: re.match(r"\s+segdistill ", line) is not None):
        told = "\n".join(line.strip() if command else line for line in group).strip("\n")
        blocks.append(block("text", told) if command else prose(told))
    return list(filter(None, blocks))


def example(recipe: Recipe) -> str:
    """The command line that runs a recipe."""
    if recipe.kind == "protocol":
        return f"segdistill distill hinton {recipe.name} data.path=FOLDER"
    if not recipe.terms:
        return f"segdistill train {recipe.name} data.path=FOLDER"
    to_name = [
        f"teachers.{name}.run={section.run or f'runs/{name}'}"
        for name, section in recipe.teachers.items()
        if section.frozen and section.network is None
    ]
    return " ".join([f"segdistill distill {recipe.name} data.path=FOLDER", *to_name])
