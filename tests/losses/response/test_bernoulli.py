from __future__ import annotations

import math
from typing import Literal

import pytest
import torch

from segdistill.losses.response.bernoulli import Bernoulli
from segdistill.losses.response.kl import KL


def one_logit(own: float, other: float, temperature: float, reverse: bool) -> float:
    p, q = 1 / (1 + math.exp(-own / temperature)), 1 / (1 + math.exp(-other / temperature))
    first, second = (p, q) if reverse else (q, p)
    return first * math.log(first / second) + (1 - first) * math.log((1 - first) / (1 - second))


def example(*space: int, channels: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = 2 * torch.randn(2, 2, channels, *space, dtype=torch.float64, generator=generator)
    return student, teacher, torch.rand(2, 1, *space, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("temperature", [1, 4])
@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_against_loops(
    space: tuple[int, ...], temperature: float, direction: Literal["forward", "reverse"]
) -> None:
    student, teacher, where = example(*space)
    samples = []
    for own, other, weight in zip(student.flatten(2), teacher.flatten(2), where.flatten(2), strict=True):
        total = 0.0
        for channel in range(own.shape[0]):
            for voxel in range(own.shape[1]):
                logits = float(own[channel, voxel]), float(other[channel, voxel])
                divergence = one_logit(*logits, temperature, direction == "reverse")
                total += float(weight[0, voxel]) * divergence
        samples.append(total / float(weight.sum()))
    expected = temperature**2 * sum(samples) / len(samples)
    value = float(Bernoulli(temperature, direction)(student, teacher, where))
    assert value == pytest.approx(expected, rel=1e-10)


def test_one_logit_by_hand() -> None:
    """q = 3/4, p = 1/2."""
    teacher, student = torch.full((1, 1, 1, 1), math.log(3)), torch.zeros(1, 1, 1, 1)
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert float(Bernoulli()(student, teacher)) == pytest.approx(expected, rel=1e-6)


def test_is_kl_of_two_classes() -> None:
    student, teacher, _ = example(3, 4, channels=1)
    own, other = (torch.cat([torch.zeros_like(z), z], 1) for z in (student, teacher))
    assert float(Bernoulli(2)(student, teacher)) == pytest.approx(float(KL(2)(own, other)), rel=1e-10)


def test_channels_are_summed() -> None:
    student, teacher, _ = example(3, 4)
    alone = [float(Bernoulli()(student[:, [c]], teacher[:, [c]])) for c in range(3)]
    assert float(Bernoulli()(student, teacher)) == pytest.approx(sum(alone), rel=1e-12)


def test_sure_teacher_and_a_student_that_is_sure_of_the_contrary() -> None:
    """No logarithm of 0: KL of 1 against e^-300 is 300."""
    student, teacher = torch.full((1, 1, 1, 1), -300.0), torch.full((1, 1, 1, 1), 300.0)
    assert float(Bernoulli()(student, teacher)) == pytest.approx(300)
