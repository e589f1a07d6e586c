from __future__ import annotations

import math

import pytest
import torch

from segdistill.losses.response.channel_wise import ChannelWise


def shares(scores: list[float], weights: list[float], temperature: float) -> list[float]:
    exponentials = [w * math.exp(z / temperature) for z, w in zip(scores, weights, strict=True)]
    return [e / sum(exponentials) for e in exponentials]


def channel_by_channel(
    student: torch.Tensor, teacher: torch.Tensor, where: torch.Tensor, temperature: float
) -> float:
    values = []
    for own, other, weight in zip(student.flatten(2), teacher.flatten(2), where.flatten(2), strict=True):
        for channel in range(own.shape[0]):
            p = shares(own[channel].tolist(), weight[0].tolist(), temperature)
            q = shares(other[channel].tolist(), weight[0].tolist(), temperature)
            values.append(sum(b * math.log(b / a) for a, b in zip(p, q, strict=True) if b > 0))
    return temperature**2 * sum(values) / len(values)


def example(*space: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Student, teacher and weights in [0, 1], some of them 0."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = 3 * torch.randn(2, 2, 3, *space, dtype=torch.float64, generator=generator)
    where = torch.randn(2, 1, *space, dtype=torch.float64, generator=generator).clamp(0, 1)
    return student, teacher, where


@pytest.mark.parametrize("temperature", [1, 4])
@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_against_loops(space: tuple[int, ...], temperature: float) -> None:
    student, teacher, where = example(*space)
    everywhere = channel_by_channel(student, teacher, torch.ones_like(where), temperature)
    assert float(ChannelWise(temperature)(student, teacher)) == pytest.approx(everywhere, rel=1e-10)
    weighted = channel_by_channel(student, teacher, where, temperature)
    assert float(ChannelWise(temperature)(student, teacher, where)) == pytest.approx(weighted, rel=1e-10)


def test_two_voxels_by_hand() -> None:
    """One channel that looks with 3/4 and 1/4 at two voxels, beside one that looks at both alike."""
    teacher = torch.tensor([0.75, 0.25]).log().view(1, 1, 1, 2)
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert float(ChannelWise(1)(torch.zeros(1, 1, 1, 2), teacher)) == pytest.approx(expected, rel=1e-6)


def test_level_of_a_channel_does_not_matter() -> None:
    student, teacher, _ = example(3, 4)
    level = torch.tensor([5.0, -2.0, 0.0]).view(1, 3, 1, 1)
    value = float(ChannelWise()(student, teacher))
    assert float(ChannelWise()(student + level, teacher - level)) == pytest.approx(value, rel=1e-10)


def test_cutting_is_the_same_as_where() -> None:
    student, teacher, _ = example(3, 4)
    where = torch.zeros(2, 1, 3, 4, dtype=torch.float64)
    where[..., :2] = 1
    cut = float(ChannelWise()(student[..., :2], teacher[..., :2]))
    assert float(ChannelWise()(student, teacher, where)) == pytest.approx(cut, rel=1e-10)


def test_sample_without_weight_counts_as_zero() -> None:
    student, teacher, _ = example(3, 4)
    where = torch.ones(2, 1, 3, 4, dtype=torch.float64)
    where[1] = 0
    first = float(ChannelWise()(student[:1], teacher[:1]))
    assert float(ChannelWise()(student, teacher, where)) == pytest.approx(first / 2, rel=1e-10)
