"""Numbers as people write them: 500k, 1.5M, 20G."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def quantity(value: Any) -> Any:
    """`500k`, `1.5M` or `20G` as a number; what is no text as it is.

    Raises:
        ValueError: a text that is no number.
    """
    if not isinstance(value, str | bool):
        return value
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)(e\+?\d+)?\s*([kKMGT]?)\s*", str(value))
    if found is None:
        raise ValueError("write a number above 0, such as 500k, 1.5M or 20G (k, M, G and T are the units)")
    return float(found[1] + (found[2] or "")) * UNITS[found[3].replace("K", "k")]


Quantity = Annotated[float, BeforeValidator(quantity), Field(gt=0)]
"""A number above 0, which may be written 500k, 1.5M or 20G."""


def in_bytes(count: float) -> str:
    """A number of bytes for people, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:  # what is not rounded up to the next unit
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
