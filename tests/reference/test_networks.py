from __future__ import annotations

from collections.abc import Callable
from typing import Any

from segdistill.networks import NETWORKS
from segdistill.recipe import Recipe


def test_examples_of_networks_load(examples: Callable[[str], dict[str, Any]]) -> None:
    found = examples("networks.md")
    assert list(found) == list(NETWORKS)
    for name, example in found.items():
        written = Recipe.load({}, **example).student
        assert written["type"] == name and set(written) == set(example["student"])
