"""Parts: named, typed pieces of a recipe. The constructor's signature of a part is its schema.

A table maps a name to a class, or to a row with the class in its attribute `part`. In a recipe a part is written
`{type: NAME, setting: value, ...}`. Arguments that follow from the data (`DATA_GIVEN`) are not written in recipes.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from segdistill.errors import SegdistillError

DATA_GIVEN = frozenset(
    {"spatial_dims", "in_channels", "out_channels", "image_size", "regions", "student_width", "teacher_width"}
)


def class_of(row: Any) -> Any:
    """The class of a table's row: the row itself, or its attribute `part`."""
    return getattr(row, "part", row)


@cache
def schema(part: type) -> type[BaseModel]:
    """The pydantic model of what a recipe may say about `part`, made from its constructor's signature."""
    hints = get_type_hints(part if dataclasses.is_dataclass(part) else part.__init__, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(part).parameters.items():
        if name not in DATA_GIVEN:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name] = (hints.get(name, Any), default)
    return create_model(part.__name__, __config__=ConfigDict(extra="forbid"), **fields)


def complete(table: Mapping[str, Any], spec: Any, place: str) -> dict[str, Any]:
    """Check `spec` and return it with every default written out, as plain data.

    Raises:
        SegdistillError: unknown type or key, missing or wrong value; the message names the place and the choices.
    """
    if isinstance(spec, str):
        spec = {"type": spec}
    if not isinstance(spec, Mapping) or "type" not in spec:
        raise SegdistillError(f"{place}: write {{type: NAME, ...}}; NAME is one of {', '.join(sorted(table))}")
    name = spec["type"]
    if name not in table:
        raise SegdistillError(f"{place}.type: {unknown(str(name), table)}")
    settings = {key: value for key, value in spec.items() if key != "type"}
    try:
        model = schema(class_of(table[name]))(**settings)
    except ValidationError as error:
        raise SegdistillError(explain(error, place, schema(class_of(table[name])))) from None
    return {"type": name, **model.model_dump(mode="json")}


def build(table: Mapping[str, Any], spec: Any, place: str, **given: Any) -> Any:
    """Make the part that `spec` describes. Of `given` (what follows from the data) each part takes what it asks for.

    Raises:
        SegdistillError: as `complete`; also where the part refuses its arguments (a `ValueError` of the constructor).
    """
    settings = complete(table, spec, place)
    part = class_of(table[settings.pop("type")])
    wanted = inspect.signature(part).parameters
    typed = schema(part)(**settings)
    arguments = {name: getattr(typed, name) for name in settings}
    arguments.update({name: value for name, value in given.items() if name in wanted})
    try:
        return part(**arguments)
    except ValueError as error:
        raise SegdistillError(f"{place}: {error}") from error


def unknown(name: str, choices: Iterable[str]) -> str:
    """'NAME is unknown' with the closest choice and all of them."""
    choices = sorted(choices)
    close = difflib.get_close_matches(name, choices, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{name!r} is unknown{hint} (choices: {', '.join(choices)})"


def explain(error: ValidationError, place: str, model: type[BaseModel]) -> str:
    """A pydantic error in one line a problem, with the place in the recipe and the choices."""
    lines = []
    for problem in error.errors():
        path = [str(step) for step in problem["loc"]]
        where = ".".join([place, *path] if place else path)
        if problem["type"] == "extra_forbidden":
            parent = ".".join([place, *path[:-1]] if place else path[:-1])
            known = _fields_at(model, path[:-1])
            what = unknown(path[-1], known) if known else f"{path[-1]!r} is unknown"
            lines.append(f"{parent + ': ' if parent else ''}{what}")
        elif problem["type"] == "missing":
            lines.append(f"{where}: is required")
        else:
            lines.append(f"{where}: {problem['msg']}, got {problem['input']!r}")
    return "\n".join(lines)


def _fields_at(model: Any, path: list[str]) -> list[str]:
    """Names of the fields of the model that lies at `path` inside `model`, as far as annotations tell."""
    for step in path:
        field = model.model_fields.get(step) if hasattr(model, "model_fields") else None
        candidates = [] if field is None else [field.annotation, *getattr(field.annotation, "__args__", ())]
        models = [c for c in candidates if inspect.isclass(c) and issubclass(c, BaseModel)]
        if not models:
            return list(model.model_fields) if hasattr(model, "model_fields") and step.isidentifier() and field is None else []
        model = models[0]
    return list(model.model_fields)
