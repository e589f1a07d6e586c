"""How logits and stage maps are stored, and by how much that changes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

LogitsType = Literal["float16", "uint8"]
LARGEST_HALF = float(np.finfo(np.float16).max)
SMALLEST = float(np.finfo(np.float32).tiny)
RELATIVE_ERROR = 2.0**-11
"""Of a value in float16, at most: half of its last digit."""


@dataclass(frozen=True)
class Steps:
    """8-bit coding, channel by channel: value = offset + scale * code, code in 0 ... 255.

    Attributes:
        scale, offset: a number for each channel; their range is the channel's in this case.
        error: largest difference between what is read (`decoded`) and the float32 value. It is at most half of the
            largest scale and, since float16 is read, 2^-11 of the largest value.
    """

    scale: tuple[float, ...]
    offset: tuple[float, ...]
    error: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {"scale": list(self.scale), "offset": list(self.offset), "error": self.error}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Steps:
        """The inverse of `to_dict`."""
        return cls(tuple(values["scale"]), tuple(values["offset"]), float(values["error"]))


def in_half(values: np.ndarray) -> np.ndarray:
    """Float16.

    Raises:
        ValueError: a value that float16 does not hold, or that is no number.
    """
    _fits_half(values)
    return values.astype(np.float16)


def in_steps(values: np.ndarray) -> tuple[np.ndarray, Steps]:
    """(C, *space) float32 -> uint8 codes and what they mean.

    Raises:
        ValueError: a value that float16, in which it is read, does not hold, or that is no number.
    """
    _fits_half(values)
    flat = values.reshape(len(values), -1).astype(np.float32)
    low, high = flat.min(1), flat.max(1)
    scale = ((high - low) / 255).astype(np.float32)
    scale[scale < SMALLEST] = 1.0  # all values of the channel are one
    codes = np.round((flat - low[:, None]) / scale[:, None]).astype(np.uint8)
    steps = Steps(tuple(map(float, scale)), tuple(map(float, low)), 0.0)
    error = float(np.abs(decoded(codes, steps).astype(np.float32) - flat).max())
    return codes.reshape(values.shape), replace(steps, error=error)


def decoded(piece: np.ndarray, steps: Steps | None) -> np.ndarray:
    """A stored piece (C, *space) as float16; what is in float16 already is returned as it is."""
    if steps is None:
        return piece
    shape = (-1, *[1] * (piece.ndim - 1))
    scale, offset = (np.array(row, np.float32).reshape(shape) for row in (steps.scale, steps.offset))
    return (piece * scale + offset).astype(np.float16)


def _fits_half(values: np.ndarray) -> None:
    largest = float(np.abs(values).max()) if values.size else 0.0
    if not largest <= LARGEST_HALF:
        raise ValueError(f"holds {largest:.4g}, float16 holds {LARGEST_HALF:.0f} at most")
