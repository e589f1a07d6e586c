from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdistill.errors import SegdistillError
from segdistill.parts import build
from segdistill.schedules import WEIGHTS, Constant, Cosine, Linear, Window

PARTS: dict[str, dict[str, Any]] = {
    "constant": {"value": 0.5},
    "linear": {"start": 1, "end": 0.2, "epochs": 10},
    "cosine": {"start": 0, "end": 2, "epochs": 10},
    "window": {"first": 2, "last": 5, "value": 3},
}


@pytest.mark.parametrize(
    "schedule, values",
    [
        (Constant(0.5), {0: 0.5, 7.5: 0.5, 1000: 0.5}),
        (Linear(1, 0, 10), {0: 1, 2.5: 0.75, 10: 0, 25: 0}),
        (Linear(0, 2, 4), {0: 0, 1: 0.5, 4: 2, 9: 2}),
        (Cosine(1, 0, 10), {0: 1, 5: 0.5, 10: 0, 99: 0, 2: (1 + math.cos(0.2 * math.pi)) / 2}),
        (Cosine(0.5, 1.5, 4), {0: 0.5, 2: 1.0, 4: 1.5}),
        (Window(2, 5, 3), {0: 0, 1.9: 0, 2: 3, 4.9: 3, 5: 0}),
    ],
    ids=str,
)
def test_values(schedule: Any, values: dict[float, float]) -> None:
    assert [schedule(epoch) for epoch in values] == pytest.approx(list(values.values()), abs=1e-12)


@given(
    start=st.floats(0, 10), end=st.floats(0, 10), epochs=st.integers(1, 50), epoch=st.floats(0, 200),
    kind=st.sampled_from([Linear, Cosine]),
)  # fmt: skip
def test_weight_stays_between_start_and_end(
    start: float, end: float, epochs: int, epoch: float, kind: type[Linear] | type[Cosine]
) -> None:
    weight = kind(start, end, epochs)(epoch)
    assert min(start, end) - 1e-9 <= weight <= max(start, end) + 1e-9


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_schedule_is_a_part(name: str) -> None:
    schedule = build(WEIGHTS, {"type": name, **PARTS[name]}, "terms.x.weight")
    assert schedule(3.5) >= 0


def test_window_that_is_never_open_is_refused() -> None:
    with pytest.raises(SegdistillError, match=r"terms\.x\.weight: last 3 must lie after first 3"):
        build(WEIGHTS, {"type": "window", "first": 3, "last": 3}, "terms.x.weight")
