from __future__ import annotations

import math
from typing import Literal

import pytest
import torch

from segdistill.losses.response.kl import KL
from segdistill.losses.response.prior_corrected_kl import PriorCorrectedKL

PRIOR = (0.9, 0.08, 0.02)


def softmax(scores: list[float]) -> list[float]:
    exponentials = [math.exp(score - max(scores)) for score in scores]
    return [e / sum(exponentials) for e in exponentials]


def weights_of(correction: str, beta: float) -> list[float]:
    if correction == "uniform":
        return [1 / share for share in PRIOR]
    return [(1 - beta) / (1 - beta ** (share * 10_000)) for share in PRIOR]


def example(*space: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = 2 * torch.randn(2, 2, 3, *space, dtype=torch.float64, generator=generator)
    return student, teacher, torch.rand(2, 1, *space, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("correction, beta", [("uniform", 0.999), ("effective_number", 0.99)])
@pytest.mark.parametrize("temperature", [1, 4])
@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_against_loops(
    space: tuple[int, ...],
    temperature: float,
    correction: Literal["uniform", "effective_number"],
    beta: float,
) -> None:
    student, teacher, where = example(*space)
    samples = []
    for own, other, weight in zip(student.flatten(2), teacher.flatten(2), where.flatten(2), strict=True):
        total = 0.0
        for voxel in range(own.shape[1]):
            p = softmax([float(z) / temperature for z in own[:, voxel]])
            q = softmax([float(z) / temperature for z in other[:, voxel]])
            q = [w * x for w, x in zip(weights_of(correction, beta), q, strict=True)]
            q = [x / sum(q) for x in q]
            divergence = sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
            total += float(weight[0, voxel]) * divergence
        samples.append(total / float(weight.sum()))
    loss = PriorCorrectedKL(temperature, correction, beta, PRIOR)
    expected = temperature**2 * sum(samples) / len(samples)
    assert float(loss(student, teacher, where)) == pytest.approx(expected, rel=1e-10)


def test_teacher_that_says_the_prior_says_nothing() -> None:
    """A teacher with no more than the class frequencies becomes uniform."""
    teacher = torch.tensor(PRIOR).log().view(1, 3, 1, 1)
    loss = PriorCorrectedKL(class_prior=PRIOR)
    assert float(loss(torch.zeros(1, 3, 1, 1), teacher)) == pytest.approx(0, abs=1e-6)
    assert float(loss(teacher, teacher)) > 0.1


@pytest.mark.parametrize("prior", [None, (1 / 3, 1 / 3, 1 / 3)])
@pytest.mark.parametrize("correction", ["uniform", "effective_number"])
def test_equally_frequent_classes_need_no_correction(
    prior: tuple[float, ...] | None, correction: Literal["uniform", "effective_number"]
) -> None:
    student, teacher, _ = example(3, 4)
    loss = PriorCorrectedKL(2, correction, class_prior=prior)
    assert float(loss(student, teacher)) == pytest.approx(float(KL(2)(student, teacher)), rel=1e-10)


def test_beta_goes_from_no_correction_to_uniform() -> None:
    student, teacher, _ = example(3, 4)
    at_zero = PriorCorrectedKL(correction="effective_number", beta=0, class_prior=PRIOR)(student, teacher)
    assert float(at_zero) == pytest.approx(float(KL()(student, teacher)), rel=1e-10)
    near_one = PriorCorrectedKL(correction="effective_number", beta=1 - 1e-12, class_prior=PRIOR)
    uniform = PriorCorrectedKL(class_prior=PRIOR)(student, teacher)
    assert float(near_one(student, teacher)) == pytest.approx(float(uniform), rel=1e-6)


@pytest.mark.parametrize("correction", ["uniform", "effective_number"])
def test_class_that_was_never_seen(correction: Literal["uniform", "effective_number"]) -> None:
    student, teacher, _ = example(3, 4)
    absent = PriorCorrectedKL(correction=correction, class_prior=(0.5, 0.5, 0.0))(student, teacher)
    rarest = PriorCorrectedKL(correction=correction, class_prior=(0.5, 0.5, 1e-6))(student, teacher)
    assert torch.isfinite(absent)
    assert float(absent) == pytest.approx(float(rarest), rel=1e-4)


def test_prior_of_another_number_of_classes_is_refused() -> None:
    student, teacher, _ = example(3, 4)
    with pytest.raises(ValueError, match="2 shares, the maps have 3 channels"):
        PriorCorrectedKL(class_prior=(0.9, 0.1))(student, teacher)


@pytest.mark.parametrize("prior", [(0.9, 0.2), (1.1, -0.1), (), (9000.0, 1000.0)])
def test_prior_that_is_no_distribution_is_refused(prior: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="sums to 1"):
        PriorCorrectedKL(class_prior=prior)
