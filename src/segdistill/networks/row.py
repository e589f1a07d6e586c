"""What the table of networks says of each: its class, its source, the sizes that it takes and its widths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import gcd, lcm
from typing import Any

from torch import nn

from segdistill.networks.sizes import Multiple
from segdistill.networks.width import Widths

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One network of the table: the class, where it was published, and one line about it.

    Attributes:
        multiple: of which number the sides of its images are multiples, at these (complete) settings; an instance says
            the same as `divisible_by`.
        widths: which settings are widths, and what each is a multiple of; empty where there is one width only.
    """

    part: type[nn.Module]
    reference: str
    summary: str
    multiple: Callable[[Settings], Multiple] = lambda _: 16
    widths: Widths = field(default_factory=dict)


def halvings(settings: Settings) -> int:
    """The multiple of a U-Net that halves the image once for each of its `channels` but the first."""
    return int(2 ** (len(settings["channels"]) - 1))


def heads(settings: Settings) -> int:
    """The step of a width that is divided by the number of heads."""
    return int(settings["heads"])


def heads_of_ratios(settings: Settings) -> int:
    """The step of the first of `dims` whose multiples the others are, each divided by its own number of heads."""
    first = settings["dims"][0]
    steps = [
        count // gcd(count, dim // first)
        for count, dim in zip(settings["heads"], settings["dims"], strict=True)
    ]
    return lcm(2, *steps)


def heads_of_stages(settings: Settings) -> int:
    """The step of a first width that, doubling from stage to stage, is divided by each stage's number of heads."""
    return lcm(*(count // gcd(count, 2**stage) for stage, count in enumerate(settings["heads"])))
