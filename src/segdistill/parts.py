"""Parts: named, typed pieces of a recipe. The constructor's signature of a part is its schema.

A table maps a name to a class, or to a row with the class in its attribute `part`. In a recipe a part is
written `{type: NAME, setting: value, ...}`. Arguments that follow from the data (`DATA_GIVEN`) are not
written in recipes.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from segdistill.errors import SegdistillError

DATA_GIVEN = frozenset(
    {
        *("spatial_dims", "in_channels", "out_channels", "image_size", "regions", "class_prior", "names"),
        *("student_width", "teacher_width"),
    }
)

PLAIN = {
    **dict.fromkeys(("list_type", "tuple_type"), "should be a list such as [a, b]"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "should be {key: value, ...}"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "should be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "should be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "should be true or false"),
    "string_type": "should be text",
}
"""What pydantic's kinds of error say in the words of who writes a recipe."""


def class_of(row: Any) -> Any:
    """The class of a table's row: the row itself, or its attribute `part`."""
    return getattr(row, "part", row)


@cache
def schema(part: Any) -> type[BaseModel]:
    """The pydantic model of what a recipe may say about `part`, made from its constructor's signature."""
    hints = get_type_hints(part if dataclasses.is_dataclass(part) else part.__init__, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(part).parameters.items():
        if name not in DATA_GIVEN:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name] = (hints.get(name, Any), default)
    return create_model(part.__name__, __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **fields)


def complete(table: Mapping[str, Any], spec: Any, place: str) -> dict[str, Any]:
    """Check `spec` and return it with every default written out, as plain data.

    Raises:
        SegdistillError: unknown type or key, missing or wrong value; with the place and the choices.
    """
    name, settings = _checked(table, spec, place)
    part = class_of(table[name])
    if dataclasses.is_dataclass(part):  # it may refuse settings that do not go together
        _made(part, place, _arguments(settings))
    return {"type": name, **settings.model_dump(mode="json")}


def build(table: Mapping[str, Any], spec: Any, place: str, **given: Any) -> Any:
    """Make the part that `spec` describes.

    Args:
        given: what follows from the data; each part takes what it asks for.

    Raises:
        SegdistillError: as `complete`; also where the part refuses its arguments (a ValueError of its own).
    """
    name, settings = _checked(table, spec, place)
    part = class_of(table[name])
    wanted = inspect.signature(part).parameters
    return _made(part, place, _arguments(settings) | {k: v for k, v in given.items() if k in wanted})


def _checked(table: Mapping[str, Any], spec: Any, place: str) -> tuple[str, BaseModel]:
    """The name of the part and its settings, typed and complete."""
    if isinstance(spec, str):
        spec = {"type": spec}
    if not isinstance(spec, Mapping) or "type" not in spec:
        raise SegdistillError(
            f"{place}: write {{type: NAME, ...}}; NAME is one of {', '.join(sorted(table))}"
        )
    name = spec["type"]
    if not isinstance(name, str) or name not in table:
        raise SegdistillError(f"{place}.type: {unknown(str(name), table)}")
    settings = {key: value for key, value in spec.items() if key != "type"}
    part = class_of(table[name])
    if told := DATA_GIVEN & settings.keys() & inspect.signature(part).parameters.keys():
        raise SegdistillError(f"{place}.{min(told)}: follows from the data; leave it out")
    try:
        return name, schema(part).model_validate(settings)
    except ValidationError as error:
        raise SegdistillError(explain(error, place, schema(part), settings)) from None


def _arguments(settings: BaseModel) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in type(settings).model_fields}


def _made(part: Any, place: str, arguments: Mapping[str, Any]) -> Any:
    try:
        return part(**arguments)
    except ValueError as error:
        raise SegdistillError(f"{place}: {error}") from error


def unknown(name: str, choices: Iterable[str]) -> str:
    """'NAME is unknown' with the closest choice and all of them."""
    choices = sorted(choices)
    close = difflib.get_close_matches(name, choices, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{name!r} is unknown{hint} (choices: {', '.join(choices) or 'none'})"


def explain(error: ValidationError, place: str, model: type[BaseModel], data: Any) -> str:
    """A pydantic error in one line a place, with the place in the recipe and the choices.

    Args:
        error: what `model` said of `data`.
        place: where in the recipe `data` stands; '' for the recipe itself.
    """
    start = [place] if place else []
    lines: list[str] = []
    wrong: dict[tuple[str, str], list[str]] = {}  # what each branch of a union says of one value
    problems = [([*start, *_steps(problem["loc"], data)], problem) for problem in error.errors()]
    for path, problem in problems:
        inside = any(len(path) < len(other) and other[: len(path)] == path for other, _ in problems)
        if problem["type"] == "extra_forbidden":
            known = _fields_at(model, path[len(start) : -1])
            what = unknown(path[-1], known) if known else f"{path[-1]!r} is unknown"
            lines.append(": ".join([*filter(None, [".".join(path[:-1])]), what]))
        elif problem["type"] == "missing":
            lines.append(f"{'.'.join([*path, str(problem['loc'][-1])])}: is required")
        elif not inside:  # else the item of a list, or another branch of a union, says it better
            told = wrong.setdefault((".".join(path), reprlib.repr(problem["input"])), [])
            said = PLAIN.get(problem["type"], problem["msg"]).removeprefix("Value error, ")
            said = said.replace("Input should be ", "should be ", 1)
            told.append(said.removeprefix("should be ") if told else said)
    lines += [f"{where}: {' or '.join(told)}, got {value}" for (where, value), told in wrong.items()]
    return "\n".join(lines)


def _steps(location: Sequence[int | str], data: Any) -> list[str]:
    """What of a pydantic location leads through `data`: keys and numbers, not the names of union branches."""
    steps = []
    for step in location:
        inside = step in data if isinstance(data, Mapping) else False
        if isinstance(data, list | tuple) and isinstance(step, int):
            inside = step < len(data)
        if inside:
            steps.append(str(step))
            data = data[step]
    return steps


def _fields_at(model: Any, path: Sequence[str]) -> list[str]:
    """Names of the fields of the section that lies at `path` inside `model`, as far as annotations tell."""
    for step in path:
        model = next(
            (below for member in _members(model) if (below := _below(member, step)) is not None), None
        )
    return [name for member in _members(model) if _is_section(member) for name in member.model_fields]


def _below(annotation: Any, step: str) -> Any:
    if _is_section(annotation):
        return annotation.model_fields[step].annotation if step in annotation.model_fields else None
    if get_origin(annotation) is list:
        return get_args(annotation)[0]
    return get_args(annotation)[1] if get_origin(annotation) is dict else None


def _members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _is_section(annotation: Any) -> bool:
    return inspect.isclass(annotation) and issubclass(annotation, BaseModel)
