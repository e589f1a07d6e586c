from __future__ import annotations

import math

import pytest
import torch

from segdistill.losses.relation.contrastive import Contrastive


def unit_means(feature: torch.Tensor, where: torch.Tensor) -> list[list[float]]:
    found = []
    for sample, counts in zip(feature, where, strict=True):
        weights = counts.flatten().tolist()
        means = [
            sum(w * x for w, x in zip(weights, row, strict=True)) / sum(weights)
            for row in sample.flatten(1).tolist()
        ]
        found.append([m / math.hypot(*means) for m in means])
    return found


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1])
@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_against_loops(space: tuple[int, ...], temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 4, 3, *space, dtype=torch.float64, generator=generator)
    where = torch.rand(4, 1, *space, dtype=torch.float64, generator=generator)
    own, other = unit_means(student, where), unit_means(teacher, where)
    surprise = []
    for a in range(4):
        scores = [sum(x * y for x, y in zip(own[a], other[b], strict=True)) / temperature for b in range(4)]
        surprise.append(math.log(sum(math.exp(score) for score in scores)) - scores[a])
    value = float(Contrastive(temperature)(student, teacher, where))
    assert value == pytest.approx(sum(surprise) / 4, rel=1e-10)


def test_chance_is_the_logarithm_of_the_batch() -> None:
    alike = torch.ones(8, 3, 4, 4)
    assert float(Contrastive()(alike, alike)) == pytest.approx(math.log(8))


def test_sample_without_voxels_is_neither_anchor_nor_candidate() -> None:
    student, teacher = torch.randn(2, 4, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    where = torch.ones(4, 1, 4, 4)
    where[1] = 0
    kept = [0, 2, 3]
    expected = float(Contrastive()(student[kept], teacher[kept]))
    assert float(Contrastive()(student, teacher, where)) == pytest.approx(expected, rel=1e-5)
