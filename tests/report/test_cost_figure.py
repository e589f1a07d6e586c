"""The picture of what networks cost."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from segdistill.report.figures import cost as figure

Places = list[tuple[float, float]]


def cost(name: str, parameters: float, macs: float, latency: float | None = None) -> dict[str, Any]:
    time = {"p50": latency, "threads": 2, "device": "cpu"} if latency else None
    return {
        **{"name": name, "parameters": parameters, "macs": macs, "activation_mb": 3.0, "latency_ms": time},
        "input": [1, 64, 64, 64],
    }


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12))
def test_nothing_beats_a_network_on_the_frontier_and_all_others_are_beaten(places: Places) -> None:
    best = figure.frontier(places)
    assert best
    for i, (x, y) in enumerate(places):
        beaten = any(a <= x and b <= y and (a < x or b < y) for a, b in places)
        assert (i in best) != beaten


def test_the_figure_tells_what_is_on_its_axes() -> None:
    counted = figure.draw([cost("a", 1e6, 2e9), cost("runs/b", 3e6, 1e9)])
    assert "True multiply-adds" in (counted.svg or "") and "of fewer operations" in counted.caption
    assert "a 1.00 M at 2.0; b 3.00 M at 1.0" in counted.alt
    timed = figure.draw([cost("a", 1e6, 2e9, 20.0), cost("b", 3e6, 1e9, 10.0)])
    assert "Median latency" in (timed.svg or "") and "2 threads" in (timed.svg or "")
    half = figure.draw([cost("a", 1e6, 2e9, 20.0), cost("b", 3e6, 1e9)])
    assert "True multiply-adds" in (half.svg or "")


def test_one_network_is_drawn_too() -> None:
    assert figure.draw([cost("a", 1e6, 2e9)]).png.startswith(b"\x89PNG")


def test_inputs_that_differ_are_told() -> None:
    other = cost("b", 3e6, 1e9) | {"input": [2, 32, 32]}
    assert "not all of one size" in (figure.draw([cost("a", 1e6, 2e9), other]).svg or "")
    assert "One input of 1 x 64 x 64 x 64" in (figure.draw([cost("a", 1e6, 2e9)]).svg or "")
