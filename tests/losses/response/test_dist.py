from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from segdistill.losses.response.dist import DIST


def softmax(scores: list[float]) -> list[float]:
    exponentials = [math.exp(score - max(scores)) for score in scores]
    return [e / sum(exponentials) for e in exponentials]


def pearson(first: list[float], second: list[float], weights: list[float]) -> float:
    covariance = np.cov(first, second, aweights=weights)
    return float(covariance[0, 1] / math.sqrt(covariance[0, 0] * covariance[1, 1]))


def parts_by_loops(
    student: torch.Tensor, teacher: torch.Tensor, where: torch.Tensor, temperature: float
) -> tuple[float, float]:
    """Inter and intra part, with T^2."""
    inter, intra = [], []
    for own, other, weight in zip(student.flatten(2), teacher.flatten(2), where.flatten(2), strict=True):
        voxels, classes = range(own.shape[1]), range(own.shape[0])
        p = [softmax([float(z) / temperature for z in own[:, voxel]]) for voxel in voxels]
        q = [softmax([float(z) / temperature for z in other[:, voxel]]) for voxel in voxels]
        weights = weight[0].tolist()
        distances = [1 - pearson(p[voxel], q[voxel], [1.0] * len(classes)) for voxel in voxels]
        inter.append(sum(w * d for w, d in zip(weights, distances, strict=True)) / sum(weights))
        for k in classes:
            seen = [probabilities[k] for probabilities in p]
            known = [probabilities[k] for probabilities in q]
            intra.append(1 - pearson(seen, known, weights))
    return temperature**2 * sum(inter) / len(inter), temperature**2 * sum(intra) / len(intra)


def example(*space: int, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = 2 * torch.randn(2, 2, classes, *space, dtype=torch.float64, generator=generator)
    where = torch.randn(2, 1, *space, dtype=torch.float64, generator=generator).clamp(0, 1)
    return student, teacher, where


@pytest.mark.parametrize("temperature", [1, 4])
@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_against_loops(space: tuple[int, ...], temperature: float) -> None:
    student, teacher, where = example(*space)
    for weight in (None, where):
        weights = torch.ones_like(where) if weight is None else weight
        inter, intra = parts_by_loops(student, teacher, weights, temperature)
        for beta, gamma in ((1, 1), (2, 0), (0, 0.5)):
            value = float(DIST(beta, gamma, temperature)(student, teacher, weight))
            assert value == pytest.approx(beta * inter + gamma * intra, rel=1e-9)


def test_one_voxel_by_hand() -> None:
    """Less their mean 1/3, p = (1/6, 0, -1/6) and q = (1/6, -1/6, 0): r = (1/36) / (2/36) = 1/2."""
    student = torch.tensor([3.0, 2.0, 1.0]).log().view(1, 3, 1, 1)
    teacher = torch.tensor([3.0, 1.0, 2.0]).log().view(1, 3, 1, 1)
    assert float(DIST(gamma=0)(student, teacher)) == pytest.approx(0.5, rel=1e-5)


def test_with_two_classes_the_inter_part_only_tells_who_wins() -> None:
    student, teacher, _ = example(3, 4, classes=2)
    student.requires_grad_()
    value = DIST(gamma=0)(student, teacher)
    differ = (student.argmax(1) != teacher.argmax(1)).double().mean()
    assert 0 < differ < 1
    assert value.item() == pytest.approx(2 * differ.item(), rel=1e-9)
    value.backward()
    assert student.grad is not None and student.grad.abs().max() < 1e-9
    assert DIST(beta=0)(student, teacher).item() > 0


def test_class_that_neither_sees_adds_nothing() -> None:
    """A third class of probability 0: the intra part is two thirds of what two classes give."""
    student, teacher, _ = example(3, 4, classes=2)
    absent = torch.full((2, 1, 3, 4), -200.0, dtype=torch.float64)
    two = float(DIST(beta=0)(student, teacher))
    three = float(DIST(beta=0)(torch.cat([student, absent], 1), torch.cat([teacher, absent], 1)))
    assert three == pytest.approx(2 / 3 * two, rel=1e-9)


def test_student_that_starts_with_zeros_has_a_gradient_within_reason() -> None:
    student = torch.zeros(1, 3, 8, 8, requires_grad=True)
    _, teacher, _ = example(8, 8)
    DIST()(student, teacher[:1].float()).backward()
    assert student.grad is not None and 0 < student.grad.abs().max() < 20


def test_samples_are_not_mixed() -> None:
    student, teacher, _ = example(3, 4)
    alone = [float(DIST()(student[[n]], teacher[[n]])) for n in range(2)]
    assert float(DIST()(student, teacher)) == pytest.approx(sum(alone) / 2, rel=1e-12)


def test_one_channel_is_refused() -> None:
    with pytest.raises(ValueError, match="2 channels at least"):
        DIST()(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))
