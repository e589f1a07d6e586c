"""A recipe without what must not leave the house: places on the machine, and names of cases, which may be patients'."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

PLACES = (
    *("data.path", "data.store", "data.splits.file", "data.unlabelled.path"),
    *("teachers.*.run", "teachers.*.path", "train.mlflow"),
)
"""Keys that say where something lies; `*` stands for any name."""
CASES = ("data.splits.test", "data.splits.validation", "data.splits.train")
"""Keys that name cases where they are lists."""
LOOKS_LIKE_A_PATH = re.compile(r"^(/|~|\.{1,2}[/\\]|[A-Za-z]:[/\\])")
LOOKS_LIKE_A_PLACE = re.compile(rf"{LOOKS_LIKE_A_PATH.pattern}|://")


def publishable(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe without keys that name places or cases.

    Strings anywhere else that look like a path or an address are left out too.
    """
    return _kept(recipe, "")


def withheld(key: str, value: Any = ()) -> bool:
    """Whether the entry `key` (`data.path`) says where something lies, or names cases.

    Args:
        value: the entry's; without it, as if it were a list.
    """
    if any(fnmatchcase(key, place) for place in PLACES):
        return True
    if isinstance(value, str):
        return bool(LOOKS_LIKE_A_PLACE.search(value))
    return key in CASES and isinstance(value, list | tuple)


def flat(recipe: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested sections as one level: `{"train.epochs": 100}`."""
    found: dict[str, Any] = {}
    for key, value in recipe.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = value
    return found


def _kept(value: Mapping[str, Any], before: str) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, inner in value.items():
        place = f"{before}{key}"
        if not withheld(place, inner) or inner is None:
            kept[str(key)] = _value(inner, place)
    return kept


def _value(value: Any, place: str) -> Any:
    if isinstance(value, Mapping):
        return _kept(value, f"{place}.")
    if isinstance(value, list | tuple):
        return [_value(one, place) for one in value if not withheld(place, one)]
    return value
