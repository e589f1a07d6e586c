from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from segdistill.losses import LOSSES
from segdistill.parts import schema
from segdistill.recipe import Recipe
from segdistill.reference.equation import CHANGED, equation, terms


def test_equation_of_a_recipe() -> None:
    recipe = Recipe.load(
        {
            "teachers": {"big": {"run": "runs/big"}, "mean": {"average": {}}},
            "segmentation": {"weight": 0.1},
            "terms": {
                "response": {"loss": "kl", "weight": {"type": "linear", "start": 0, "end": 1, "epochs": 9}},
                "hint": {
                    "loss": "attention_transfer", "weight": 0.5, "teachers": ["big"],
                    "pairs": [["encoder/2", ["encoder/4", "decoder/1"]], ["decoder/1", "decoder/1"]],
                },
                "own": {"loss": "mse", "teacher_is": "student", "student": "decoder/2", "teacher": "encoder/2"},
            },
        }
    )  # fmt: skip
    assert equation(recipe).splitlines() == [
        "total = 0.1 x dice_focal(student logits, label)",
        "      + linear(epoch) x kl(student logits, each teacher logits)",
        "      + 0.5 x attention_transfer(student encoder/2, big [encoder/4 + decoder/1])",
        "      + 0.5 x attention_transfer(student decoder/1, big decoder/1)",
        "      + 1 x mse(student decoder/2, student encoder/2)",
    ]


@pytest.mark.parametrize(
    "loss, told",
    [
        ("kl", "with its defaults"),
        ({"type": "kl", "temperature": 4}, "with `{temperature: 4}`"),
        ({"type": "kl", "direction": "forward"}, "with `{direction: forward}`"),
        (
            {"type": "kl", "direction": "reverse", "reduction": "pairs"},
            "with `{direction: reverse, reduction: pairs}`; reverse: p and q exchanged; pairs: times 2 / C",
        ),
        (
            {"type": "attention_similarity", "norm": "at_l2"},
            "with `{norm: at_l2}`; at_l2: v / ||v||\\_2 in place of f / ||f||\\_1, v_n = mean_c |f_cn|^2",
        ),
        (
            {"type": "self_training", "centre": False},
            "with `{centre: false}`; centre: q = softmax(mean_n t / T_t)",
        ),
        (
            {"type": "prior_corrected_kl", "correction": "effective_number"},
            "with `{correction: effective_number}`; effective_number: changes it; see its settings",
        ),
    ],
)
def test_formula_is_told_with_what_changes_it(loss: Any, told: str) -> None:
    raw = {"teachers": {"teacher": {"run": "runs/teacher"}}, "terms": {"only": {"loss": loss}}}
    recipe = Recipe.load(raw)
    formula = LOSSES[recipe.terms["only"].loss["type"]].formula
    assert f"formula: `{formula}` {told}" in [line.strip(" -") for line in terms(recipe, raw).splitlines()]


@pytest.mark.parametrize("loss, setting, choice", CHANGED)
def test_changes_are_of_settings_that_there_are(loss: str, setting: str, choice: str | bool) -> None:
    known = schema(LOSSES[loss].part)
    assert getattr(known(**{setting: choice}), setting) == choice != getattr(known(), setting)


def test_formula_of_a_recipe_is_not_that_of_the_other_direction(section: Callable[[str, str], str]) -> None:
    assert "; reverse: p and q exchanged\n" in section("recipes.md", "teach_former")
    assert "exchanged" not in section("recipes.md", "teach_former_practical")
    assert "; at_l2: v / ||v||" in section("recipes.md", "teach_former_practical")
