"""What runs of a study keep of their own where something else is told of all: the study set it on purpose."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from segdistill.errors import SegdistillError
from segdistill.publishable import flat
from segdistill.recipe import Recipe
from segdistill.study.definition import Study
from segdistill.study.expansion import Row, recipe_of, rows_of

Kept = dict[str, list[Row]]
"""Rows by what they keep, in words."""


def own_values(study: Study, told: Mapping[str, Any]) -> list[str]:
    """A sentence for each setting that some runs have otherwise than it was told of all.

    Args:
        study: with `told` among its settings already.
        told: what was laid over the settings of all runs, on the command line or by files such as tuned.yaml.
    """
    rows = [(row, recipe_of(study, row)) for row in rows_of(study)]
    sentences = []
    for key, value in flat(told).items():
        kept: Kept = {}
        for row, recipe in rows:
            if _keeps(study, row, recipe, key, value):
                kept.setdefault(_shown(recipe, key), []).append(row)
        if kept:
            sentences.append(_sentence(key, kept, [row for row, _ in rows]))
    return sentences


def _keeps(study: Study, row: Row, recipe: Recipe, key: str, value: Any) -> bool:
    """Whether a row's own settings win over what was told: laid over them, too, it would make another recipe."""
    steps = key.split(".")
    if steps[0] not in row.part.settings or _taken_out(row, steps):
        return False
    for step in reversed(steps):
        value = {step: value}
    try:
        return recipe_of(study, row, value) != recipe
    except SegdistillError:  # of another part, such as a network that has no such setting
        return True


def _taken_out(row: Row, steps: list[str]) -> bool:
    """Whether the row is one without the term or teacher that the setting is of."""
    section = row.part.settings[steps[0]]
    if steps[0] not in ("terms", "teachers") or not isinstance(section, Mapping):
        return False
    return steps[1] in section and section[steps[1]] is None


def _shown(recipe: Recipe, key: str) -> str:
    """The value of a setting; of one that the recipe lacks, what is there instead, such as another network."""
    value: Any = recipe.model_dump(mode="json")
    for step in key.split("."):
        if not isinstance(value, Mapping) or step not in value:
            break
        value = value[step]
    return str(value["type"]) if isinstance(value, Mapping) and "type" in value else json.dumps(value)


def _sentence(key: str, kept: Kept, rows: list[Row]) -> str:
    named = {value: _names(those, rows) for value, those in kept.items()}
    clauses = [
        f"{', '.join(names)} {'keep' if names[1:] else 'keeps'} {value}" for value, names in named.items()
    ]
    them = "it" if sum(map(len, named.values())) == 1 else "them"
    return f"{key}: {'; '.join(clauses)}, which the study sets for {them}"


def _names(kept: list[Row], rows: list[Row]) -> list[str]:
    """What rows are called; of a group that they are all of, its name once."""
    names: list[str] = []
    for group in dict.fromkeys(row.group for row in kept):
        those = [row for row in kept if row.group == group]
        whole = those == [row for row in rows if row.group == group]
        names += [group] if whole else [row.stem for row in those]
    return names
