"""Schedules of a term's weight over the epochs: w_k(epoch) of the equation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

NonNegative = Annotated[float, Field(ge=0)]
Epochs = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Constant:
    """The same weight in every epoch."""

    value: NonNegative = 1.0

    def __call__(self, epoch: float) -> float:
        return self.value


@dataclass(frozen=True)
class Linear:
    """From `start` to `end` in `epochs` epochs, then `end`."""

    start: NonNegative
    end: NonNegative
    epochs: Epochs

    def __call__(self, epoch: float) -> float:
        return self.start + (self.end - self.start) * min(1.0, epoch / self.epochs)


@dataclass(frozen=True)
class Cosine:
    """From `start` to `end` along half a cosine in `epochs` epochs, then `end`."""

    start: NonNegative
    end: NonNegative
    epochs: Epochs

    def __call__(self, epoch: float) -> float:
        done = min(1.0, epoch / self.epochs)
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * done)) / 2


@dataclass(frozen=True)
class Window:
    """`value` in the epochs `first` <= epoch < `last`, 0 outside."""

    first: Annotated[int, Field(ge=0)]
    last: Epochs
    value: NonNegative = 1.0

    def __post_init__(self) -> None:
        if self.last <= self.first:
            raise ValueError(
                f"last {self.last} must lie after first {self.first}, else the weight is always 0"
            )

    def __call__(self, epoch: float) -> float:
        return self.value if self.first <= epoch < self.last else 0.0


WEIGHTS: dict[str, type] = {"constant": Constant, "linear": Linear, "cosine": Cosine, "window": Window}
