from __future__ import annotations

import math

import pytest
import torch

from segdistill.losses.response.soft_dice import SoftDice


def by_loops(student: torch.Tensor, teacher: torch.Tensor, where: torch.Tensor | None = None) -> float:
    """Sample by sample, class by class, voxel by voxel."""
    batch, classes = student.shape[:2]
    values = []
    for b in range(batch):
        s, t = student[b].flatten(1).tolist(), teacher[b].flatten(1).tolist()
        w = [1.0] * len(s[0]) if where is None else where[b].flatten().tolist()
        for k in range(classes):
            overlap = size = 0.0
            for n in range(len(s[0])):
                p = math.exp(s[k][n]) / sum(math.exp(s[c][n]) for c in range(classes))
                q = math.exp(t[k][n]) / sum(math.exp(t[c][n]) for c in range(classes))
                overlap += w[n] * 2 * p * q
                size += w[n] * (p * p + q * q)
            values.append(1 - overlap / size)
    return sum(values) / len(values)


@pytest.mark.parametrize("space", [(3, 4), (2, 3, 2)])
@pytest.mark.parametrize("masked", [False, True])
def test_against_loops(space: tuple[int, ...], masked: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(2, 3, *space, generator=generator, dtype=torch.float64) for _ in range(2))
    where = torch.rand(2, 1, *space, generator=generator, dtype=torch.float64) if masked else None
    assert SoftDice()(student, teacher, where).item() == pytest.approx(by_loops(student, teacher, where))


def test_opposite_and_equal_answers() -> None:
    sure = torch.tensor([60.0, -60.0]).reshape(1, 2, 1, 1)
    assert SoftDice()(sure, -sure).item() == pytest.approx(1)
    assert SoftDice()(sure, sure).item() == 0
