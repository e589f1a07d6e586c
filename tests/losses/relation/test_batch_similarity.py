from __future__ import annotations

import math

import pytest
import torch

from segdistill.losses.relation.batch_similarity import BatchSimilarity


def similarities(feature: torch.Tensor) -> list[list[float]]:
    rows = feature.flatten(1).tolist()
    inner = [[sum(x * y for x, y in zip(a, b, strict=True)) for b in rows] for a in rows]
    return [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in inner]


@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_against_loops(space: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(3, 2, *space, dtype=torch.float64, generator=generator)
    teacher = torch.randn(3, 5, *space, dtype=torch.float64, generator=generator)
    own, other = similarities(student), similarities(teacher)
    squares = [(own[a][b] - other[a][b]) ** 2 for a in range(3) for b in range(3)]
    assert float(BatchSimilarity()(student, teacher)) == pytest.approx(sum(squares) / 9, rel=1e-10)


def test_by_hand() -> None:
    """Two samples: orthogonal to the student (rows (1, 0), (0, 1)), alike to the teacher (rows of 1 / sqrt(2))."""
    student = torch.tensor([[[[1.0, 0.0]]], [[[0.0, 2.0]]]])
    teacher = torch.ones(2, 1, 1, 2)
    each = (1 - math.sqrt(0.5)) ** 2 + 0.5
    assert float(BatchSimilarity()(student, teacher)) == pytest.approx(each / 2)


@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_scale_of_the_features_does_not_matter(scale: float) -> None:
    student, teacher = torch.randn(2, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = float(BatchSimilarity()(student, teacher))
    assert float(BatchSimilarity()(scale * student, teacher)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("value", [0, 1])
def test_one_sample_has_nothing_to_compare_with(value: float) -> None:
    student = torch.full((1, 2, 4, 4), value).float().requires_grad_()
    loss = BatchSimilarity()(student, torch.rand(1, 2, 4, 4))
    loss.backward()
    assert float(loss.detach()) == 0
    assert student.grad is not None and student.grad.abs().max() == 0
