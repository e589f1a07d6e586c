"""The settings of a part in words: types, bounds and defaults."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import yaml

from segdistill.parts import DATA_GIVEN, class_of, schema
from segdistill.reference.docstring import Docstring
from segdistill.reference.markdown import bullets, prose


def described(part: Any) -> list[str]:
    """Blocks of a page: what a part's docstring says, its settings, and what follows from the data."""
    told = Docstring.of(part)
    model = schema(part).model_json_schema()
    lines = []
    for name, spec in model.get("properties", {}).items():
        default = f"default `{in_a_line(spec['default'])}`" if "default" in spec else "required"
        meaning = f": {prose(told.settings[name])}" if name in told.settings else ""
        lines.append(f"`{name}` ({kind_of(spec)}; {default}){meaning}")
    page = [prose(told.text)]
    page += ["Settings:", bullets(lines)] if lines else ["It has no settings."]
    given = [f"`{name}`" for name in inspect.signature(part).parameters if name in DATA_GIVEN]
    page += [f"Follows from the data: {', '.join(given)}."] if given else []
    return page + ([f"Refused: {prose(told.refuses)}"] if told.refuses else [])


def kind_of(spec: Mapping[str, Any]) -> str:
    """A JSON schema in words: `number > 0`, `one of ...`, `list of 2 to 8 x integer >= 1`."""
    if "anyOf" in spec:
        return " or ".join(kind_of(choice) for choice in spec["anyOf"])
    if "enum" in spec:
        return "one of " + ", ".join(f"`{in_a_line(choice)}`" for choice in spec["enum"])
    if spec["type"] == "array":
        return _list_of(spec)
    words = {"boolean": "true or false", "string": "text"}.get(spec["type"], spec["type"])
    return words + _bounds(spec) + (f", a multiple of {spec['multipleOf']:g}" if "multipleOf" in spec else "")


def _list_of(spec: Mapping[str, Any]) -> str:
    items = spec.get("prefixItems") or [spec["items"]]
    kinds = " and ".join(dict.fromkeys(kind_of(item) for item in items))
    least, most = spec.get("minItems"), spec.get("maxItems")
    if not least and not most:
        return f"list of {kinds}"
    count = f"{least}" if least == most else f"{least or 0} to {most}" if most else f"{least} or more"
    return f"list of {count} x {kinds}"


def _bounds(spec: Mapping[str, Any]) -> str:
    low = spec.get("minimum", spec.get("exclusiveMinimum"))
    high = spec.get("maximum", spec.get("exclusiveMaximum"))
    if low is not None and high is not None:
        opening, closing = "[" if "minimum" in spec else "(", "]" if "maximum" in spec else ")"
        return f" in {opening}{low:g}, {high:g}{closing}"
    if low is not None:
        return f" {'>=' if 'minimum' in spec else '>'} {low:g}"
    if high is not None:
        return f" {'<=' if 'maximum' in spec else '<'} {high:g}"
    return ""


def in_a_line(value: Any) -> str:
    """A value as YAML in one line."""
    text = yaml.safe_dump(_plain(value), default_flow_style=True, sort_keys=False, width=float("inf"))
    return text.removesuffix("...\n").strip()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def with_defaults(name: str, table: Mapping[str, Any]) -> str:
    """A part with every default written out, as a recipe says it."""
    return in_a_line({"type": name, **schema(class_of(table[name]))().model_dump(mode="json")})
