from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
import torch.nn.functional as F

from segdistill.losses.relation.rkd import RKD, Relation
from segdistill.losses.relation.rkd_batch import RKDBatch

Points = list[list[float]]


def huber(difference: float) -> float:
    return difference**2 / 2 if abs(difference) < 1 else abs(difference) - 0.5


def distances(points: Points, weights: list[float]) -> dict[tuple[int, ...], float]:
    count = range(len(points))
    lengths = {(i, j): math.dist(points[i], points[j]) for i in count for j in count}
    pairs = {(i, j): weights[i] * weights[j] for i in count for j in count if i != j}
    mean = sum(weight * lengths[pair] for pair, weight in pairs.items()) / sum(pairs.values())
    return {pair: length / mean for pair, length in lengths.items()}


def angles(points: Points) -> dict[tuple[int, ...], float]:
    count, found = range(len(points)), {}
    for i in count:
        for j in count:
            for k in count:
                left = [b - a for a, b in zip(points[i], points[j], strict=True)]
                right = [b - a for a, b in zip(points[i], points[k], strict=True)]
                length = math.hypot(*left) * math.hypot(*right)
                found[i, j, k] = (
                    sum(a * b for a, b in zip(left, right, strict=True)) / length if length else 0.0
                )
    return found


def by_loops(student: Points, teacher: Points, weights: list[float], relation: str) -> float:
    if relation == "distance":
        own, other = distances(student, weights), distances(teacher, weights)
    else:
        own, other = angles(student), angles(teacher)
    mass = {group: math.prod(weights[i] for i in group) for group in own}
    return sum(mass[g] * huber(own[g] - other[g]) for g in own) / sum(mass.values())


@pytest.mark.parametrize("relation", get_args(Relation))
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_places_against_loops(space: tuple[int, ...], masked: bool, relation: Relation) -> None:
    """As few voxels as this are the nodes themselves."""
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(2, 3, *space, dtype=torch.float64, generator=generator)
    teacher = torch.randn(2, 5, *space, dtype=torch.float64, generator=generator)
    where = (torch.rand(2, 1, *space, dtype=torch.float64, generator=generator) - 0.2).clamp_min(0)
    expected = []
    for own, other, counts in zip(student, teacher, where, strict=True):
        weights = counts.flatten().tolist() if masked else [1.0] * 12
        points = own.flatten(1).T.tolist(), other.flatten(1).T.tolist()
        expected.append(by_loops(*points, weights, relation))
    value = float(RKD(relation)(student, teacher, where if masked else None))
    assert value == pytest.approx(sum(expected) / 2, rel=1e-10)


@pytest.mark.parametrize("relation", get_args(Relation))
@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_samples_against_loops(space: tuple[int, ...], relation: Relation) -> None:
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(5, 3, *space, dtype=torch.float64, generator=generator)
    teacher = torch.randn(5, 4, *space, dtype=torch.float64, generator=generator)
    where = torch.rand(5, 1, *space, dtype=torch.float64, generator=generator)
    where[3] = 0
    points = []
    for feature in (student, teacher):
        sums = (feature * where).flatten(2).sum(2)
        points.append((sums / where.flatten(1).sum(1, keepdim=True))[[0, 1, 2, 4]].tolist())
    expected = by_loops(points[0], points[1], [1.0] * 4, relation)
    assert float(RKDBatch(relation)(student, teacher, where)) == pytest.approx(expected, rel=1e-10)


def test_three_points_by_hand() -> None:
    """The sides of a right triangle against three points of a line with the same middle."""
    student = torch.tensor([[[[0.0, 3.0, 0.0]], [[0.0, 0.0, 4.0]]]])  # sides 3, 4, 5
    teacher = torch.tensor([[[[0.0, 1.0, 2.0]]]])  # distances 1, 2, 1
    differences = [3 / 4 - 3 / 4, 4 / 4 - 6 / 4, 5 / 4 - 3 / 4]
    expected = 2 * sum(huber(d) for d in differences) / 9
    assert float(RKD()(student, teacher)) == pytest.approx(expected)


@pytest.mark.parametrize("relation", get_args(Relation))
def test_many_voxels_are_pooled(relation: Relation) -> None:
    student, teacher = torch.randn(2, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    pooled = RKD(relation)(F.avg_pool2d(student, 2), F.avg_pool2d(teacher, 2))
    assert float(RKD(relation)(student, teacher)) == pytest.approx(float(pooled), rel=1e-5)


@pytest.mark.parametrize("relation", get_args(Relation))
def test_rounding_is_no_relation(relation: Relation) -> None:
    """The averages of a constant map differ by rounding alone, which must not be blown up to unit size."""
    student = torch.full((1, 4, 50, 50), 0.1, requires_grad=True)
    teacher = torch.randn(1, 4, 50, 50, generator=torch.Generator().manual_seed(0))
    RKD(relation)(student, teacher).backward()
    assert student.grad is not None and student.grad.abs().max() < 1


def test_two_samples_say_nothing() -> None:
    student, teacher = torch.randn(2, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert float(RKDBatch("distance")(student, teacher)) == pytest.approx(0, abs=1e-12)
    assert float(RKDBatch("angle")(student, teacher)) == pytest.approx(0, abs=1e-12)
