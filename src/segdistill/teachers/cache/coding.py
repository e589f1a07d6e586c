"""How logits and stage maps are stored, and by how much that changes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

LogitsType = Literal["float16", "uint8"]
LARGEST_HALF = float(np.finfo(np.float16).max)
RELATIVE_ERROR = 2.0**-11
"""Of a value in float16, at most: half of its last digit."""


@dataclass(frozen=True)
class Steps:
    """8-bit coding, channel by channel: value = offset + scale * code, code in 0 ... 255.

    Attributes:
        scale, offset: a number for each channel; their range is the channel's in this case.
        error: largest difference from the float32 value that was found, at most half of the largest scale.
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
    largest = float(np.abs(values).max()) if values.size else 0.0
    if not largest <= LARGEST_HALF:
        raise ValueError(f"holds {largest:.4g}, float16 holds {LARGEST_HALF:.0f} at most")
    return values.astype(np.float16)


def in_steps(values: np.ndarray) -> tuple[np.ndarray, Steps]:
    """(C, *space) float32 -> uint8 codes and what they mean.

    Raises:
        ValueError: a value that is no number.
    """
    flat = values.reshape(len(values), -1).astype(np.float32)
    low, high = flat.min(1), flat.max(1)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise ValueError("holds values that are no numbers")
    scale = np.where(high > low, (high - low) / 255, 1.0).astype(np.float32)
    codes = np.round((flat - low[:, None]) / scale[:, None]).astype(np.uint8)
    error = float(np.abs(codes * scale[:, None] + low[:, None] - flat).max())
    steps = Steps(tuple(map(float, scale)), tuple(map(float, low)), error)
    return codes.reshape(values.shape), steps


def decoded(piece: np.ndarray, steps: Steps | None) -> np.ndarray:
    """A stored piece (C, *space) as float16; what is in float16 already is returned as it is."""
    if steps is None:
        return piece
    shape = (-1, *[1] * (piece.ndim - 1))
    scale, offset = (np.array(row, np.float32).reshape(shape) for row in (steps.scale, steps.offset))
    return (piece * scale + offset).astype(np.float16)
