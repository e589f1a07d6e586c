"""What of a recipe may leave the house."""

from __future__ import annotations

from typing import Any

import pytest

from segdistill.publishable import flat, publishable
from segdistill.recipe import Recipe


def test_places_and_cases_are_left_out() -> None:
    recipe: dict[str, Any] = {
        "data": {
            "path": "Dataset101", "store": "store", "patch_size": [8, 8], "unlabelled": {"path": "more", "share": 0.5},
            "splits": {"test": ["anna"], "validation": None, "file": "s.json", "folds": 5},
        },
        "teachers": {"a": {"run": "runs/a", "weight": 2.0}, "b": {"path": ["x", "y"], "weight": 1.0}},
        "terms": {"one": {"student": "encoder/8", "teacher": "decoder/1"}},
        "train": {"mlflow": "mlruns", "epochs": 3},
        "student": {"type": "unet", "weights": "/home/anna/w.pt", "more": ["~/a", "b", "https://c.example/d"]},
    }  # fmt: skip
    assert publishable(recipe) == {
        "data": {
            "patch_size": [8, 8],
            "unlabelled": {"share": 0.5},
            "splits": {"validation": None, "folds": 5},
        },
        "teachers": {"a": {"weight": 2.0}, "b": {"weight": 1.0}},
        "terms": {"one": {"student": "encoder/8", "teacher": "decoder/1"}},
        "train": {"epochs": 3},
        "student": {"type": "unet", "more": ["b"]},
    }


def test_a_share_of_the_patients_is_no_name() -> None:
    assert publishable({"data": {"splits": {"test": 0.2}}}) == {"data": {"splits": {"test": 0.2}}}


@pytest.mark.parametrize(
    "place", ["/a/b", "~/a", "./a", "../a", r"C:\a", "D:/a", "s3://bucket/a", "file:///a"]
)
def test_what_looks_like_a_place(place: str) -> None:
    assert publishable({"evaluate": {"somewhere": place}}) == {"evaluate": {}}


@pytest.mark.parametrize("word", ["encoder/16/stage", "1/4", "32-true", "a.b", "", "unet"])
def test_what_does_not(word: str) -> None:
    assert publishable({"x": word}) == {"x": word}


@pytest.mark.parametrize("name", ["hinton", "teach_former", "hlfd"])
def test_a_recipe_is_one_still(name: str) -> None:
    content = Recipe.load(name, data={"path": "/data/x"}).model_dump(mode="json")
    kept = publishable(content)
    assert "path" not in kept["data"] and kept["terms"] == content["terms"]
    assert Recipe.load(kept, data={"path": "/data/x"}).terms == Recipe.load(name).terms


def test_one_level() -> None:
    assert flat({"a": {"b": {"c": 1}, "d": {}}, "e": [1]}) == {"a.b.c": 1, "a.d": {}, "e": [1]}
