"""What a run's cost.json says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StageShare:
    """What one stage of a network costs: multiply-adds and parameters."""

    stage: str
    macs: int
    parameters: int


@dataclass(frozen=True)
class Cost:
    """What cost.json says. MACs are for one input of the shape `input`; times are for that input too."""

    parameters: int | None
    macs: int | None
    thop_macs: int | None
    input: tuple[int, ...]
    latency_median: float | None  # milliseconds
    latency_p95: float | None
    device: str
    threads: int | None
    stages: tuple[StageShare, ...]  # in the order of a forward pass; empty in older records
    peak_memory: float | None  # MB: the weights and what a forward pass adds, not the whole process


def cost_from(value: Mapping[str, Any]) -> Cost | None:
    """The contents of a cost.json; None of an empty one.

    Raises:
        ValueError: a number is none, or below 0.
    """
    if not value:
        return None
    latency = value.get("latency_ms") or {}
    return Cost(
        parameters=_whole(value, "parameters"),
        macs=_whole(value, "macs"),
        thop_macs=_whole(value, "thop_macs"),
        input=tuple(int(n) for n in value.get("input", ())),
        latency_median=_positive(latency, "p50"),
        latency_p95=_positive(latency, "p95"),
        device=str(latency.get("device") or ""),
        threads=_whole(latency, "threads"),
        stages=tuple(
            StageShare(str(one["stage"]), int(one["macs"]), int(one["parameters"]))
            for one in value.get("stages", ())
        ),
        peak_memory=_positive(value, "peak_memory_mb"),
    )


def _positive(values: Mapping[str, Any], name: str) -> float | None:
    """A number above 0, or None where there is none.

    Raises:
        ValueError: it is something else.
    """
    value = values.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"cost.json: {name} is {value!r}")
    return float(value)


def _whole(values: Mapping[str, Any], name: str) -> int | None:
    value = _positive(values, name)
    return None if value is None else int(value)
