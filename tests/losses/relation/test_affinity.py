from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import get_args

import pytest
import torch

from segdistill.losses.relation.affinity import Affinity
from segdistill.losses.relation.nodes import Pooling

Cell = list[tuple[int, ...]]


def cells(space: tuple[int, ...]) -> list[Cell]:
    """The voxels of each cell of half a side, rounded down."""
    axes = []
    for size in space:
        side = max(1, size // 2)
        axes.append([range(start, min(start + side, size)) for start in range(0, size, side)])
    return [list(itertools.product(*ranges)) for ranges in itertools.product(*axes)]


def affinities(feature: torch.Tensor, places: list[Cell], pooling: str) -> list[list[float]]:
    """Of one sample (channel, *space)."""
    vectors = []
    for inside in places:
        rows = [[float(channel[at]) for at in inside] for channel in feature]
        vectors.append([max(row) if pooling == "max" else sum(row) / len(row) for row in rows])
    vectors = [[x / math.sqrt(sum(y * y for y in v)) for x in v] for v in vectors]
    return [[sum(x * y for x, y in zip(a, b, strict=True)) for b in vectors] for a in vectors]


@pytest.mark.parametrize("pooling", get_args(Pooling))
@pytest.mark.parametrize("space", [(5, 4), (3, 2, 5)])
def test_against_loops(space: tuple[int, ...], pooling: Pooling) -> None:
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(2, 3, *space, dtype=torch.float64, generator=generator)
    teacher = torch.randn(2, 5, *space, dtype=torch.float64, generator=generator)
    places, samples = cells(space), []
    for own, other in zip(student, teacher, strict=True):
        a, b = affinities(own, places, pooling), affinities(other, places, pooling)
        squares = [(a[i][j] - b[i][j]) ** 2 for i in range(len(a)) for j in range(len(a))]
        samples.append(sum(squares) / len(squares))
    value = float(Affinity(pooling=pooling)(student, teacher))
    assert value == pytest.approx(sum(samples) / len(samples), rel=1e-10)


def test_by_hand() -> None:
    """Two places, alike to the student and orthogonal to the teacher: two of four pairs are 1 apart."""
    student = torch.tensor([[[[1.0, 2.0]], [[0.0, 0.0]]]])
    teacher = torch.tensor([[[[1.0, 0.0]], [[0.0, 3.0]]]])
    assert float(Affinity()(student, teacher)) == pytest.approx(0.5)
    where = torch.tensor([[[[1.0, 0.5]]]])  # weights of the pairs: 1, 0.5, 0.5, 0.25
    assert float(Affinity()(student, teacher, where)) == pytest.approx(1 / 2.25)


def test_memory_is_bounded(tmp_path: Path) -> None:
    """All pairs of 48^3 voxels would be 49 GB; the cap makes 3456 nodes of them."""
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(1, 32, 48, 48, 48, generator=generator).requires_grad_()
    teacher = torch.randn(1, 32, 48, 48, 48, generator=generator)
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        Affinity(scale=1 / 48)(student, teacher).backward()
    profile.export_chrome_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    events = sorted((e for e in events if e.get("name") == "[memory]"), key=lambda e: e["ts"])
    held = list(itertools.accumulate(event["args"]["Bytes"] for event in events))
    assert 3456**2 * 4 < max(held) < 1e9
