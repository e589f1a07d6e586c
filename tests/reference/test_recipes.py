from __future__ import annotations

from collections.abc import Callable

import pytest

from segdistill.composition import shipped
from segdistill.losses import LOSSES
from segdistill.recipe import Recipe
from segdistill.reference.recipes import example


@pytest.mark.parametrize("name", shipped())
def test_recipe_tells_its_terms(name: str, section: Callable[[str, str], str]) -> None:
    told, recipe = section("recipes.md", name), Recipe.load(name)
    assert f"- Kind: {recipe.kind}" in told and f"- Status: {recipe.status}" in told
    for need in recipe.needs:
        assert need in told
    for key, each in recipe.terms.items():
        kind = each.loss["type"]
        assert f"`{key}`: [{kind}](losses.md#{kind})" in told and f"`{LOSSES[kind].formula}`" in told
    words = example(recipe).split()
    assert words[0] == "segdistill" and "data.path=FOLDER" in words and name in words
    assert Recipe.load(*[w for w in words[2:] if "=" not in w], overrides=[w for w in words if "=" in w])
