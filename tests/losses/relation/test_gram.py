from __future__ import annotations

import math

import pytest
import torch

from segdistill.losses.relation.gram import Gram


def cosine(a: list[float], b: list[float], weights: list[float]) -> float:
    def inner(x: list[float], y: list[float]) -> float:
        return sum(w * p * q for w, p, q in zip(weights, x, y, strict=True))

    return inner(a, b) / math.sqrt(inner(a, a) * inner(b, b))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_against_loops(space: tuple[int, ...], masked: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 2, 3, *space, dtype=torch.float64, generator=generator)
    where = torch.rand(2, 1, *space, dtype=torch.float64, generator=generator) if masked else None
    squares = []
    for sample in range(2):
        own, other = student[sample].flatten(1).tolist(), teacher[sample].flatten(1).tolist()
        weights = [1.0] * len(own[0]) if where is None else where[sample].flatten().tolist()
        for c in range(3):
            for d in range(3):
                squares.append((cosine(own[c], own[d], weights) - cosine(other[c], other[d], weights)) ** 2)
    value = float(Gram()(student, teacher, where))
    assert value == pytest.approx(sum(squares) / len(squares), rel=1e-10)


def test_place_and_scale_of_the_features_do_not_matter() -> None:
    student, teacher = torch.randn(2, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    shifted = 1000 * torch.roll(student, (1, 2), (2, 3))
    assert float(Gram()(shifted, teacher)) == pytest.approx(float(Gram()(student, teacher)), rel=1e-4)
