"""What becomes of the numbers in a channel: one small part for each kind of image.

A part is applied to an image channel: `part(channel, statistics)`. Most look at that channel alone. The
measured ones (CT, PET, RGB) also need statistics of the training cases: `select` says which voxels count,
`measure` draws the numbers from them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from segdistill.errors import SegdistillError

Statistics = Mapping[str, float]


class Intensity(Protocol):
    """Numbers of one channel (*space) float32 -> numbers that a network likes, same shape."""

    def __call__(self, channel: np.ndarray, statistics: Statistics) -> np.ndarray: ...


@runtime_checkable
class Measured(Intensity, Protocol):
    """An intensity that needs statistics of the training cases."""

    def select(self, channel: np.ndarray, foreground: np.ndarray) -> np.ndarray:
        """The values (n,) of one training case that count; `foreground` (*space) is true inside any class."""
        ...

    def measure(self, values: np.ndarray) -> dict[str, float]:
        """Statistics from the values of all training cases, at least one."""
        ...


@runtime_checkable
class Masked(Intensity, Protocol):
    """An intensity that may count only voxels that are not 0, which resampling makes of almost all of them."""

    @property
    def masks(self) -> bool:
        """Whether it does."""
        ...

    def within(self, channel: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """Like a call, but `nearest` (*space), the channel resampled without blending, says what counts.

        Its zeros are taken for 0, and mean and deviation are of its other voxels: a spline mixes those at the
        border with the zeros.
        """
        ...


@dataclass(frozen=True)
class CT:
    """Clip to percentiles of the training cases' foreground, then z-score with its mean and deviation.

    As nnU-Net does (Isensee et al., 2021).
    """

    low_percentile: Annotated[float, Field(ge=0, lt=50)] = 0.5
    high_percentile: Annotated[float, Field(gt=50, le=100)] = 99.5

    def select(self, channel: np.ndarray, foreground: np.ndarray) -> np.ndarray:
        return channel[foreground]

    def measure(self, values: np.ndarray) -> dict[str, float]:
        low, high = (
            float(value) for value in np.percentile(values, [self.low_percentile, self.high_percentile])
        )
        return {"low": low, "high": high, **_moments(np.clip(values, low, high))}

    def __call__(self, channel: np.ndarray, statistics: Statistics) -> np.ndarray:
        clipped = np.clip(channel, statistics["low"], statistics["high"])
        return _standardised(clipped, statistics["mean"], statistics["std"])


@dataclass(frozen=True)
class PET:
    """SUV: negatives to 0, then z-score with mean and deviation of the training cases' bodies.

    The body is where the SUV is above `body`.
    """

    body: Annotated[float, Field(ge=0)] = 0.1

    def select(self, channel: np.ndarray, foreground: np.ndarray) -> np.ndarray:
        return channel[channel > self.body]

    def measure(self, values: np.ndarray) -> dict[str, float]:
        return _moments(values)

    def __call__(self, channel: np.ndarray, statistics: Statistics) -> np.ndarray:
        return _standardised(np.maximum(channel, 0), statistics["mean"], statistics["std"])


@dataclass(frozen=True)
class ZScore:
    """(x - mean) / (deviation + epsilon) of the case itself, over the whole image or its non-zero voxels.

    H-DenseFormer's protocol for PET in HECKTOR: over the image, epsilon 1e-3.
    """

    over: Literal["image", "nonzero"] = "image"
    epsilon: Annotated[float, Field(ge=0)] = 0.0

    @property
    def masks(self) -> bool:
        return self.over == "nonzero"

    def within(self, channel: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        mask = nearest != 0
        return self._of(np.where(mask, channel, np.float32(0)), nearest[mask])

    def __call__(self, channel: np.ndarray, statistics: Statistics) -> np.ndarray:
        return self._of(channel, channel[channel != 0] if self.masks else channel)

    def _of(self, channel: np.ndarray, seen: np.ndarray) -> np.ndarray:
        if not seen.size:
            return np.zeros_like(channel, np.float32)
        own = _moments(seen)
        return _standardised(channel, own["mean"], own["std"] + self.epsilon)


@dataclass(frozen=True)
class MR:
    """z-score of the case itself over its non-zero voxels (air that was masked out does not count)."""

    @property
    def masks(self) -> bool:
        return True

    def within(self, channel: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        return ZScore(over="nonzero").within(channel, nearest)

    def __call__(self, channel: np.ndarray, statistics: Statistics) -> np.ndarray:
        return ZScore(over="nonzero")(channel, statistics)


@dataclass(frozen=True)
class Window:
    """Clip to [low, high] and map linearly to [-1, 1].

    CT in Hounsfield units: KiTS -200..300 and LiTS -40..160 (HLFD), HECKTOR -1024..1024 (Teach-Former).
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")

    def __call__(self, channel: np.ndarray, statistics: Statistics) -> np.ndarray:
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        return ((np.clip(channel, self.low, self.high) - middle) / half).astype(np.float32)


@dataclass(frozen=True)
class Maximum:
    """Negatives to 0, then divided by the case's own maximum: [0, 1] (PI-CAI in H-DenseFormer's protocol)."""

    def __call__(self, channel: np.ndarray, statistics: Statistics) -> np.ndarray:
        positive = np.maximum(channel, 0)
        return (positive / max(float(positive.max(initial=0)), 1e-8)).astype(np.float32)


@dataclass(frozen=True)
class RGB:
    """Colour photographs: clipped to 0..`white` and divided by it, to [0, 1].

    Without `white` it is 255, or 65535 where a training image holds more than 255 (files of 16 bit).
    """

    white: Annotated[float, Field(gt=0)] | None = None

    def select(self, channel: np.ndarray, foreground: np.ndarray) -> np.ndarray:
        return channel.max(keepdims=True).ravel()

    def measure(self, values: np.ndarray) -> dict[str, float]:
        return {"white": 255.0 if values.max() <= 255 else 65535.0}

    def __call__(self, channel: np.ndarray, statistics: Statistics) -> np.ndarray:
        white = self.white or statistics.get("white", 255.0)
        return (np.clip(channel, 0, white) / white).astype(np.float32)


@dataclass(frozen=True)
class Unchanged:
    """The numbers as they are."""

    def __call__(self, channel: np.ndarray, statistics: Statistics) -> np.ndarray:
        return channel.astype(np.float32)


INTENSITIES: dict[str, type[Any]] = {
    "ct": CT,
    "pet": PET,
    "mr": MR,
    "rgb": RGB,
    "gray": ZScore,
    "window": Window,
    "zscore": ZScore,
    "maximum": Maximum,
    "none": Unchanged,
}

# Read as: a word of the channel's name that matches means this kind. The first row that matches counts.
NAMES = {
    "pet": r"pet|suv\w*|fdg|psma|dota\w*",
    "ct": r"ct\w*|ncct|cect|cbct|ldct|hu",
    "mr": r"mri?|mprage|t[12]\w*|flair|dwi|adc|hbv|b\d+|pdw?|swi|dce|cine|bold|gre|dixon|stir",
    "rgb": r"r|g|b|red|green|blue|rgb",
    "gray": r"gr[ae]y(scale)?|l|luminance|x ?ray|xr|us|ultrasound|oct",
    "none": r"nonorm|none",
}


def guess_kind(channel_name: str) -> str:
    """The row of INTENSITIES that a channel of this name gets; `zscore` where the name says nothing."""
    words = re.split(r"[\W_]+", channel_name.lower())
    for kind, pattern in NAMES.items():
        if any(re.fullmatch(pattern, word) for word in words if word):
            return kind
    return "zscore"


def make_intensity(settings: Any, where: str) -> Intensity:
    """Build a part from `{"type": kind, **settings}`; a part is returned as it is.

    Raises:
        SegdistillError: unknown kind, misspelt setting or value out of range, said to be at `where`.
    """
    if not isinstance(settings, Mapping):
        if type(settings) in INTENSITIES.values():
            return settings
        raise SegdistillError(
            f"{where}: {settings!r} should be {{type: ...}} with one of {', '.join(INTENSITIES)}"
        )
    given = dict(settings)
    kind = given.pop("type", None)
    if kind not in INTENSITIES:
        raise SegdistillError(
            f"{where}.type: {kind!r} is no kind of intensity; choose {', '.join(INTENSITIES)}"
        )
    part = INTENSITIES[kind]
    allowed = [field.name for field in fields(part)]
    for key in given:
        if key not in allowed:
            raise SegdistillError(
                f"{where}.{key}: {kind} has no such setting; it has {', '.join(allowed) or 'none'}"
            )
    try:
        return TypeAdapter(part).validate_python(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join([where, *(str(step) for step in first["loc"])])
        raise SegdistillError(f"{place}: {first['msg']} (got {first['input']!r})") from error


def describe_intensity(part: Any) -> dict[str, Any]:
    """The inverse of `make_intensity`."""
    kind = next(name for name, row in INTENSITIES.items() if row is type(part) and name != "gray")
    return {"type": kind, **asdict(part)}


def _moments(values: np.ndarray) -> dict[str, float]:
    return {"mean": float(values.mean(dtype=np.float64)), "std": float(values.std(dtype=np.float64))}


def _standardised(values: np.ndarray, mean: float, std: float) -> np.ndarray:
    """(values - mean) / std; a constant image becomes 0."""
    return ((values - mean) / max(std, 1e-8)).astype(np.float32)
