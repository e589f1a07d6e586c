"""A study that can be read from anywhere: the recipe files that it names written into it, its places whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from segdistill.composition import read, shipped
from segdistill.publishable import PLACES
from segdistill.training.mlflow import address


def with_recipes(study: Mapping[str, Any], folder: Path | None) -> dict[str, Any]:
    """A study as plain data with the recipes that its groups and profiles name by their files in its section `recipes`.

    What is no file stays as it is named, and is told when the study is expanded.

    Args:
        folder: where files are looked for first, then in the working directory: that of the study's own file.
    """
    plain = deepcopy(dict(study))
    if not isinstance(own := plain.get("recipes") or {}, dict):
        return plain  # told when it is checked
    found: dict[str, Any] = {}
    for part in _parts(plain):
        name = part.get("recipe")
        if not isinstance(name, str) or name in own or name in shipped():
            continue
        if (file := _file(name, folder)) is not None:
            recipe = read(file)
            part["recipe"] = _called(file, recipe, own | found)
            found[part["recipe"]] = recipe
    return plain | ({"recipes": own | found} if found else {})


def with_whole_places(study: Mapping[str, Any]) -> dict[str, Any]:
    """A study as plain data in which every place on this machine is told from the root, in its profiles too."""
    plain = deepcopy(dict(study))
    for part in (plain, *_profiles(plain), *_parts(plain)):
        if isinstance(part.get("settings"), Mapping):
            part["settings"] = whole_places(part["settings"])
    recipes = plain.get("recipes") or {}
    return plain | {"recipes": {name: whole_places(recipe) for name, recipe in recipes.items()}}


def whole_places(layer: Mapping[str, Any]) -> dict[str, Any]:
    """A layer of a recipe in which every place is told from the root, relative ones seen from the working directory."""
    return {key: _whole_in(value, (str(key),)) for key, value in layer.items()}


def whole(place: str | list[str] | None) -> Any:
    """A place, or several, told from the root."""
    if isinstance(place, list):
        return [whole(one) for one in place]
    # Not `resolve`: a data set is called as the link to it is.
    return os.path.normpath(Path(place).expanduser().absolute()) if isinstance(place, str) else place


def _whole_in(value: Any, key: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping):
        return {name: _whole_in(inner, (*key, str(name))) for name, inner in value.items()}
    if key == ("train", "mlflow") and isinstance(value, str) and address(value) == value:
        return value  # of a server
    return whole(value) if any(_fits(key, place.split(".")) for place in PLACES) else value


def _fits(key: tuple[str, ...], place: list[str]) -> bool:
    return len(key) == len(place) and all(want in ("*", name) for name, want in zip(key, place, strict=True))


def _parts(study: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every group and option of a study and of its profiles, once where YAML's `*name` has it in several places."""
    groups = [group for each in (study, *_profiles(study)) for group in _sections(each.get("groups"))]
    options = [
        option
        for group in groups
        for dimension in _sections(group.get("vary"))
        for option in _sections(dimension)
    ]
    return list({id(part): part for part in (*groups, *options)}.values())


def _profiles(study: Mapping[str, Any]) -> list[dict[str, Any]]:
    return _sections(study.get("profiles"))


def _sections(section: Any) -> list[dict[str, Any]]:
    """The sections in a section; what has another shape is told when the study is checked."""
    return [each for each in section.values() if isinstance(each, dict)] if isinstance(section, dict) else []


def _file(name: str, folder: Path | None) -> Path | None:
    """Where the recipe of this name lies: a file, or the folder of a run."""
    places = [Path(name)] if folder is None else [folder / name, Path(name)]
    return next((one for one in places if one.is_file() or (one / "recipe.yaml").is_file()), None)


def _called(file: Path, recipe: Mapping[str, Any], recipes: Mapping[str, Any]) -> str:
    """The shortest end of the file's path that no other recipe is called."""
    parts = Path(whole(str(file))).parts
    names = ["/".join(parts[-number:]) for number in range(1, len(parts) + 1)]
    return next(name for name in names if recipes.get(name, recipe) == recipe and name not in shipped())
