from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from segdistill.parts import schema
from segdistill.reference.settings import described, kind_of


class Brush:
    """Paints (Painter, 2020, arXiv:2001.00001).

    More of it.

    Args:
        width: of a hair; or
            of all: both.
        size: of it all.

    Raises:
        ValueError: no
            hairs.
    """

    def __init__(
        self,
        size: Annotated[float, Field(gt=0)],
        width: Annotated[float, Field(gt=0, le=10)] = 1.0,
        hairs: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=8)] | None = None,
        shape: Literal["flat", "round"] = "flat",
        pair: tuple[int, int] = (1, 2),
        steps: Annotated[int, Field(ge=4, multiple_of=4)] = 4,
        soft: bool = True,
        most: Annotated[float, Field(lt=1)] = 0.0,
    ) -> None: ...


def test_types_in_words() -> None:
    kinds = {name: kind_of(spec) for name, spec in schema(Brush).model_json_schema()["properties"].items()}
    assert kinds == {
        "size": "number > 0", "width": "number in (0, 10]", "hairs": "list of 2 to 8 x integer >= 1 or null",
        "shape": "one of `flat`, `round`", "pair": "list of 2 x integer", "steps": "integer >= 4, a multiple of 4",
        "soft": "true or false", "most": "number < 1",
    }  # fmt: skip


def test_settings_with_bounds_defaults_and_meaning() -> None:
    text, title, settings, refused = described(Brush)
    assert text.startswith("Paints (Painter, 2020, [arXiv:2001.00001]") and title == "Settings:"
    assert "- `size` (number > 0; required): of it all." in settings.splitlines()
    assert (
        "- `width` (number in (0, 10]; default `1.0`): of a hair; or of all: both." in settings.splitlines()
    )
    assert "- `pair` (list of 2 x integer; default `[1, 2]`)" in settings.splitlines()
    assert refused == "Refused: no hairs."
