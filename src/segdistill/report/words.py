"""Numbers as people read them."""

from __future__ import annotations

import math

MINUS = "\u2212"  # as long as a plus sign
BASELINES = {"all_background": "all background", "centred_ellipsoid": "centred ellipsoid"}
NONE = "\u2013"  # what stands where there is no number


def fixed(value: float | None, digits: int = 1) -> str:
    """A number with so many decimals and a true minus sign; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:.{digits}f}"
    return (MINUS + text[1:] if float(text) else text[1:]) if text.startswith("-") else text


def signed(value: float | None, digits: int = 1) -> str:
    """Like `fixed`, with a plus sign where the number is above 0."""
    text = fixed(value, digits)
    return f"+{text}" if text not in (NONE,) and not text.startswith(MINUS) and float(text) else text


def points(value: float | None) -> float | None:
    """A share of one as percentage points (Dice 0.021 is 2.1 points)."""
    return None if value is None else 100 * value


def p_value(p: float) -> str:
    """A p-value with its letter; below 0.001 just that."""
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def times(more: float | None, less: float | None) -> str | None:
    """How often `less` goes into `more`: "18 \u00d7", "2.4 \u00d7"; None where that says nothing."""
    if not more or not less:
        return None
    ratio = more / less
    return f"{ratio:.0f} \u00d7" if ratio >= 9.95 else f"{ratio:.1f} \u00d7"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: "1 case", "3 cases"."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def listing(items: list[str] | tuple[str, ...], most: int = 6) -> str:
    """Items with commas, cut after `most` with the number left out."""
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"


def duration(seconds: float | None) -> str:
    """Seconds, minutes or hours, whichever reads best."""
    if seconds is None:
        return NONE
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
