"""Recipes compose: YAML files, shipped names and plain data laid one over the other, then single overrides."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from segdistill.errors import SegdistillError
from segdistill.parts import unknown

DISTILLING = (
    *("teachers", "terms", "combine", "critic", "phases"),
    *("status", "reference", "needs", "parity"),
)
"""What of a recipe tells how to distil, and nothing of a student alone."""


def shipped() -> dict[str, Path]:
    """The recipes that come with the package, by name."""
    folder = resources.files("segdistill") / "recipes"
    files = [Path(str(file)) for file in sorted(folder.iterdir(), key=str)]
    return {file.stem: file for file in files if file.suffix == ".yaml"}


def read(source: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """A recipe as plain data, from a shipped name, a YAML file or plain data; not yet checked."""
    if isinstance(source, Mapping):
        return dict(source)
    path = shipped().get(str(source), Path(source))
    if path.is_dir() and (path / "recipe.yaml").is_file():
        path = path / "recipe.yaml"
    if not path.is_file():
        raise SegdistillError(f"recipe {str(source)!r}: no such file, and {unknown(str(source), shipped())}")
    return {"name": path.stem, **read_yaml(path, f"recipe {path}", "data, student, terms, ...")}


def read_yaml(path: Path, place: str, sections: str) -> dict[str, Any]:
    """The sections of a YAML file.

    Args:
        place: what it is, for errors.
        sections: some that it may have, for errors.

    Raises:
        SegdistillError: it is not readable as YAML, or has no sections.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise SegdistillError(f"{place}: not readable as YAML: {_in_a_line(error)}") from None
    if not isinstance(data, dict):
        raise SegdistillError(f"{place}: expected sections ({sections}), got {type(data).__name__}")
    return data


def parse_override(text: str) -> dict[str, Any]:
    """`a.b=value` -> {a: {b: value}}, the value read as YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise SegdistillError(f"{text!r}: overrides are written key.path=value, for example train.epochs=50")
    try:
        nested: Any = yaml.safe_load(value) if value else None
    except yaml.YAMLError as error:
        raise SegdistillError(f"{text!r}: the value is not readable as YAML: {_in_a_line(error)}") from None
    for step in reversed(key.strip().split(".")):
        nested = {step: nested}
    return nested


def _in_a_line(error: Exception) -> str:
    """What YAML has to say, and where; without its drawing of the place."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        place = f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
        return ": ".join(filter(None, (place, error.context, error.problem)))
    return " ".join(str(error).split())


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, section by section; a part of another type replaces the part whole."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, str) and isinstance(value, Mapping):
            old = {"type": old}  # a part of which the name alone was given
        if isinstance(old, Mapping) and isinstance(value, Mapping) and not _other_part(old, value):
            merged[key] = merge(old, value)
        else:
            merged[key] = value
    return merged


def with_room(base: Mapping[str, Any], layer: Mapping[str, Any]) -> dict[str, Any]:
    """`base` before `layer` is laid on it: without what the teachers of the layer take the place of.

    A teacher that the layer finds at `path` is no longer the run that it was to be, and stand-ins that no term names
    give way where the layer names a teacher that is new.
    """
    named, known = layer.get("teachers"), base.get("teachers")
    if not isinstance(named, Mapping) or not isinstance(known, Mapping):
        return dict(base)
    kept = {}
    new = any(told is not None and name not in known for name, told in named.items())
    terms = [term for side in (base, layer) for term in (side.get("terms") or {}).values()]
    heard = {name for term in terms if isinstance(term, Mapping) for name in term.get("teachers") or ()}
    for name, teacher in known.items():
        if isinstance(teacher, Mapping):
            if new and name not in named and name not in heard and teacher.get("stand_in"):
                continue
            told = named.get(name)
            if isinstance(told, Mapping) and told.get("path") is not None:
                gone = ("run", "network", "train", "peer", "average")
                teacher = {key: value for key, value in teacher.items() if key not in gone}
        kept[name] = teacher
    return {**base, "teachers": kept}


def _other_part(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether `new` names another type, preset or likeness than `old`, whose settings would not fit."""
    names = [{key: part[key] for key in ("type", "preset", "like") if key in part} for part in (old, new)]
    return all(names) and names[0] != names[1]


def image_channels(layer: Mapping[str, Any]) -> dict[str, Any]:
    """A layer in which `student.channels: [CT]`, names of image channels, is written `student.inputs: [CT]`.

    Numbers stay where they are: they are a network's own `channels`, its widths. The same for teachers' networks.
    """

    def renamed(part: Any) -> Any:
        names = part.get("channels") if isinstance(part, Mapping) else None
        if isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names):
            return {**{key: value for key, value in part.items() if key != "channels"}, "inputs": list(names)}
        if isinstance(names, list | tuple) and any(isinstance(name, str) for name in names):
            chosen = ",".join(name for name in names if isinstance(name, str))
            raise SegdistillError(
                f"student.channels: {list(names)} mixes names of image channels with widths of the network; give both "
                f"by student.inputs=[{chosen}] and student.channels=[...]"
            )
        return part

    def of_teacher(teacher: Any) -> Any:
        known = isinstance(teacher, Mapping) and "network" in teacher
        return {**teacher, "network": renamed(teacher["network"])} if known else teacher

    layer = dict(layer)
    if "student" in layer:
        layer["student"] = renamed(layer["student"])
    if isinstance(layer.get("teachers"), Mapping):
        layer["teachers"] = {name: of_teacher(teacher) for name, teacher in layer["teachers"].items()}
    return layer


def with_parity(data: Mapping[str, Any], asked: str | None) -> dict[str, Any]:
    """A recipe without its section `code`, which is laid over the rest where `parity: code` is asked for.

    Raises:
        SegdistillError: it is asked for, and the recipe does not say how its published code differs.
    """
    rest = {key: value for key, value in data.items() if key != "code"}
    if asked == "paper" and data.get("parity") == "code" and "code" not in data:
        raise SegdistillError(
            f"parity: {data.get('name')!r} is the recipe of a run that followed the published code; begin from the "
            "shipped recipe to follow the paper"
        )
    if asked == "code" and "code" not in data:
        raise SegdistillError(
            f"parity: recipe {data.get('name')!r} has no parity with published code; leave it at `paper`"
        )
    return merge(rest, data["code"]) if "code" in data and (asked or data.get("parity")) == "code" else rest


def undistilled(data: Mapping[str, Any]) -> dict[str, Any]:
    """A checked recipe as plain data, without all that distils: the same network, images and budget, alone."""
    plain = {key: value for key, value in data.items() if key not in DISTILLING}
    # A weight below 1 belongs to the method (1 - alpha); alone, the labels teach with all of it.
    plain["segmentation"] = {**(plain.get("segmentation") or {}), "weight": 1.0}
    plain["data"] = {key: value for key, value in (plain.get("data") or {}).items() if key != "unlabelled"}
    return plain | {"kind": "alone"}


def without_removed(data: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe without the teachers and terms that were set to null: `teachers.unetr=null`, `terms.fine=null`."""
    kept = dict(data)
    for section in ("teachers", "terms"):
        if isinstance(kept.get(section), Mapping):
            kept[section] = {name: entry for name, entry in kept[section].items() if entry is not None}
    return kept
