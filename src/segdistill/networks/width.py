"""The same topology at another width: which settings of a network scale, and in what steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import floor
from typing import Any

Step = int | Fraction | Callable[[Mapping[str, Any]], int]
"""What a width is a multiple of; a function of the network's settings where it depends on them (its heads)."""

Widths = Mapping[str, Step]
"""Which settings of a network are widths."""


def at_width(settings: Mapping[str, Any], widths: Widths, share: Fraction) -> dict[str, Any]:
    """Complete settings with every width times `share`; the rest (levels, blocks, heads, strides) stays.

    The leading width, the first number of the first setting in `widths`, is rounded to what it can be; the others keep
    their ratio to it, rounded to what they can be.

    Raises:
        ValueError: the leading width can come no nearer to the share than to a factor of 1.5.
    """
    leading, step = _leading(settings, widths)
    nearest = _nearest(leading * share, step)
    reached = Fraction(nearest) / leading
    if not Fraction(2, 3) <= reached / share <= Fraction(3, 2):
        raise ValueError(
            f"{next(iter(widths))} is a multiple of {float(step):g}, so {float(leading):g} has no share of {share}; "
            f"the nearest is {float(nearest):g}, {reached.numerator}/{reached.denominator}"
        )
    return dict(settings) | {
        name: _each(settings[name], reached, _step(each, settings)) for name, each in widths.items()
    }


def shares(settings: Mapping[str, Any], widths: Widths, largest: Fraction) -> list[Fraction]:
    """All shares up to `largest` at which the leading width is a whole number of its steps, the smallest first."""
    leading, step = _leading(settings, widths)
    return [Fraction(n) * step / leading for n in range(1, floor(leading * largest / step) + 1)]


def parse_share(value: object) -> Fraction:
    """`1/4`, `0.25` or 2 as a fraction above 0.

    Raises:
        ValueError: it is none, or not between 1/1024 and 1024.
    """
    try:
        share = Fraction(str(value)).limit_denominator(4096)
    except (ValueError, ZeroDivisionError):
        share = Fraction(0)
    if isinstance(value, bool) or not Fraction(1, 1024) <= share <= 1024:
        raise ValueError(
            f"expected a share of the width between 1/1024 and 1024, such as 1/4, 0.25 or 2, got {value!r}"
        )
    return share


def _leading(settings: Mapping[str, Any], widths: Widths) -> tuple[Fraction, int | Fraction]:
    """The leading width, and what it is a multiple of."""
    name, step = next(iter(widths.items()))
    width = settings[name]
    while isinstance(width, list | tuple):
        width = width[0]
    return Fraction(str(width)), _step(step, settings)


def _step(step: Step, settings: Mapping[str, Any]) -> int | Fraction:
    return step(settings) if callable(step) else step


def _nearest(width: Fraction, step: int | Fraction) -> int | Fraction:
    return max(1, floor(width / step + Fraction(1, 2))) * step


def _each(width: Any, share: Fraction, step: int | Fraction) -> Any:
    if isinstance(width, list | tuple):
        return [_each(inner, share, step) for inner in width]
    nearest = _nearest(Fraction(str(width)) * share, step)
    return nearest if isinstance(nearest, int) else float(nearest)
