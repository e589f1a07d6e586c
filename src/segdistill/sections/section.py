"""What all sections of a recipe share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from segdistill.errors import SegdistillError
from segdistill.parts import explain

PositiveInt = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Settings = dict[str, Any]
Part = Annotated[Settings, BeforeValidator(lambda part: {"type": part} if isinstance(part, str) else part)]
"""`{type: NAME, setting: value, ...}`; the name alone is the part with its defaults."""


class Section(BaseModel):
    """A part of a recipe: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


S = TypeVar("S", bound=Section)


def section(kind: type[S], data: Mapping[str, Any], place: str) -> S:
    """`data` as a section.

    Raises:
        SegdistillError: it is none; with the place and the choices.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise SegdistillError(("" if place else "recipe: ") + explain(error, place, kind, data)) from None
