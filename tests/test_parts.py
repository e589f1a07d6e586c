from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field
from torch import nn

from segdistill.errors import SegdistillError
from segdistill.parts import build, class_of, complete, schema, unknown


@dataclass(frozen=True)
class Brush:
    """A part with every kind of setting."""

    width: Annotated[float, Field(gt=0, le=10)] = 1.0
    hairs: Annotated[int, Field(ge=1)] = 20
    shape: Literal["flat", "round"] = "flat"
    colour: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (0.0, 0.0, 0.0)
    spare: float | None = None
    regions: bool = False

    def __post_init__(self) -> None:
        if self.shape == "flat" and self.hairs == 1:
            raise ValueError("a flat brush of one hair is round")


class Roller(nn.Module):
    """A part that is no dataclass, with an argument that follows from the data and one that must be given."""

    def __init__(self, in_channels: int, length: float, *, soft: bool = True) -> None:
        super().__init__()
        self.facts = (in_channels, length, soft)


@dataclass(frozen=True)
class Row:
    part: type
    summary: str = ""


TOOLS = {"brush": Row(Brush), "roller": Row(Roller), "plain": Brush}


def test_every_default_is_written_out_as_plain_data() -> None:
    assert complete(TOOLS, {"type": "brush"}, "tool") == {
        "type": "brush", "width": 1.0, "hairs": 20, "shape": "flat", "colour": [0.0, 0.0, 0.0], "spare": None,
    }  # fmt: skip
    assert complete(TOOLS, "brush", "tool") == complete(TOOLS, {"type": "brush"}, "tool")
    assert complete(TOOLS, {"type": "roller", "length": 3}, "tool") == {
        "type": "roller",
        "length": 3.0,
        "soft": True,
    }


def test_what_is_complete_stays_as_it_is() -> None:
    once = complete(TOOLS, {"type": "brush", "width": "2.5e-1", "colour": [0.5], "shape": "round"}, "tool")
    assert once["width"] == 0.25
    assert complete(TOOLS, once, "tool") == once


def test_build_gives_each_part_what_it_asks_for() -> None:
    brush = build(TOOLS, {"type": "brush", "colour": [0.5, 1]}, "tool", regions=True, in_channels=3)
    assert brush == Brush(colour=(0.5, 1.0), regions=True)
    roller = build(TOOLS, {"type": "roller", "length": "1e1"}, "tool", regions=True, in_channels=3)
    assert roller.facts == (3, 10.0, True)
    assert build(TOOLS, "plain", "tool") == Brush()


def test_rows_and_classes_are_parts_alike() -> None:
    assert class_of(TOOLS["brush"]) is class_of(TOOLS["plain"]) is Brush
    assert set(schema(Roller).model_fields) == {"length", "soft"}


def tool(**settings: Any) -> dict[str, Any]:
    return {"type": "brush", **settings}


@pytest.mark.parametrize("make", [complete, build])
@pytest.mark.parametrize(
    "spec, told",
    [
        ({"type": "brsh"}, "tool.type: 'brsh' is unknown; did you mean 'brush'? (choices: brush, plain, roller)"),
        ({"type": ["brush"]}, "tool.type: \"['brush']\" is unknown; did you mean 'brush'?"),
        ({"type": None}, "tool.type: 'None' is unknown"),
        ({"width": 3}, "tool: write {type: NAME, ...}; NAME is one of brush, plain, roller"),
        (None, "tool: write {type: NAME, ...}"),
        ([], "tool: write {type: NAME, ...}"),
        (tool(widht=3), "tool: 'widht' is unknown; did you mean 'width'? (choices: colour, hairs, "),
        (tool(width=0), "tool.width: should be greater than 0, got 0"),
        (tool(width=11), "tool.width: should be less than or equal to 10, got 11"),
        (tool(width="wide"), "tool.width: should be a number"),
        (tool(width=float("nan")), "tool.width: should be a finite number, got nan"),
        (tool(hairs=2.5), "tool.hairs: should be a whole number, got 2.5"),
        (tool(shape="flt"), "tool.shape: should be 'flat' or 'round', got 'flt'"),
        (tool(colour=[0.5, 2]), "tool.colour.1: should be less than or equal to 1, got 2"),
        (tool(spare=[1]), "tool.spare: should be a number, got [1]"),
        (tool(hairs=1), "tool: a flat brush of one hair is round"),
        (tool(regions=True), "tool.regions: follows from the data; leave it out"),
        ({"type": "roller"}, "tool.length: is required"),
        ({"type": "roller", "length": 1, "in_channels": 3}, "tool.in_channels: follows from the data; leave it out"),
        (tool(**{"3": 4}), "tool: '3' is unknown"),
        ({"type": "brush", 3: 4}, "tool.3: Keys should be strings, got 3"),
    ],
)  # fmt: skip
def test_every_mistake_is_told_with_its_place_and_the_choices(
    spec: Any, told: str, make: Callable[..., Any]
) -> None:
    with pytest.raises(SegdistillError) as error:
        make(TOOLS, spec, "tool")
    assert str(error.value).startswith(told)
    assert "\n" not in str(error.value)


def test_several_mistakes_are_told_at_once() -> None:
    with pytest.raises(SegdistillError) as error:
        complete(TOOLS, tool(width=-1, hair=2, shape="long"), "tool")
    places = [line.split(":")[0] for line in str(error.value).splitlines()]
    assert places == ["tool", "tool.width", "tool.shape"]


def test_long_values_are_told_in_short() -> None:
    with pytest.raises(SegdistillError) as error:
        complete(TOOLS, tool(width=list(range(10_000))), "tool")
    assert len(str(error.value)) < 200


def test_unknown_without_choices() -> None:
    assert unknown("a", []) == "'a' is unknown (choices: none)"
