from __future__ import annotations

import math

import pytest
import torch

from segdistill.losses.feature.channel_attention import ChannelAttention


def gates_by_loops(feature: torch.Tensor, where: torch.Tensor) -> list[float]:
    """Of one sample (channel, *space), `where` (*space)."""
    weights = where.flatten().tolist()
    means = []
    for channel in feature.flatten(1).tolist():
        means.append(sum(w * abs(v) for w, v in zip(weights, channel, strict=True)) / sum(weights))
    length = math.sqrt(sum(m * m for m in means))
    return [m / length for m in means]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_against_loops(space: tuple[int, ...], weighted: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 2, 3, *space, dtype=torch.float64, generator=generator)
    where = torch.ones(2, 1, *space, dtype=torch.float64)
    if weighted:
        where = torch.rand(2, 1, *space, dtype=torch.float64, generator=generator)
    total = 0.0
    for own, other, counts in zip(student, teacher, where[:, 0], strict=True):
        a, b = gates_by_loops(own, counts), gates_by_loops(other, counts)
        total += sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    value = float(ChannelAttention()(student, teacher, where if weighted else None))
    assert value == pytest.approx(total / 2, rel=1e-10)


def test_by_hand() -> None:
    """Mean activities (3, 4) and (1, 0), signs aside: (0.6, 0.8) and (1, 0)."""
    student = torch.tensor([[[[2.0, -4.0]], [[-4.0, 4.0]]]])
    teacher = torch.tensor([[[[1.0, 1.0]], [[0.0, 0.0]]]])
    assert float(ChannelAttention()(student, teacher)) == pytest.approx(0.4**2 + 0.8**2)
