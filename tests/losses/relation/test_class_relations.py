"""`class_contrast`, `class_distances`, `class_variation` and `region_affinity` against one set of loops."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from segdistill.losses.relation.class_contrast import ClassContrast
from segdistill.losses.relation.class_distances import ClassDistances
from segdistill.losses.relation.class_variation import ClassVariation
from segdistill.losses.relation.region_affinity import RegionAffinity

Vectors = list[list[float]]  # one a voxel
Weights = list[list[float]]  # one list a class, of one number a voxel
Relations = dict[Any, float]


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def mean(vectors: Vectors, weights: list[float]) -> list[float]:
    channels = range(len(vectors[0]))
    return [sum(w * v[c] for w, v in zip(weights, vectors, strict=True)) / sum(weights) for c in channels]


def means(vectors: Vectors, planes: Weights) -> dict[int, list[float]]:
    """Of the classes that are there."""
    return {k: mean(vectors, plane) for k, plane in enumerate(planes) if sum(plane) > 0}


def contrast(vectors: Vectors, planes: Weights, where: list[float]) -> Relations:
    found = means(vectors, planes)
    return {(k, m): cosine(found[k], found[m]) for k, m in itertools.combinations(found, 2)}


def distances(vectors: Vectors, planes: Weights, where: list[float]) -> Relations:
    found = means(vectors, planes)
    square = sum(w * math.hypot(*v) ** 2 for w, v in zip(where, vectors, strict=True)) / sum(where)
    return {
        (k, m): math.dist(found[k], found[m]) / math.sqrt(square) for k, m in itertools.combinations(found, 2)
    }


def variation(vectors: Vectors, planes: Weights, where: list[float]) -> Relations:
    found = means(vectors, planes)
    return {
        (k, n): cosine(vectors[n], found[k]) for k in found for n in range(len(vectors)) if planes[k][n] > 0
    }


def regions(vectors: Vectors, planes: Weights, where: list[float]) -> Relations:
    foreground = [max(values) for values in zip(*planes[1:], strict=True)]
    return contrast(vectors, [foreground, planes[0]], where)


CASES: list[tuple[Any, Callable[[Vectors, Weights, list[float]], Relations]]] = [
    (ClassContrast(), contrast),
    (ClassDistances(), distances),
    (ClassVariation(), variation),
    (RegionAffinity(), regions),
]
every_loss = pytest.mark.parametrize("loss, relations", CASES, ids=lambda case: type(case).__name__)


def by_loops(
    relations: Callable[[Vectors, Weights, list[float]], Relations],
    student: torch.Tensor,
    teacher: torch.Tensor,
    label: torch.Tensor,
    where: torch.Tensor,
) -> float:
    samples = []
    for own, other, planes, counts in zip(student, teacher, label, where, strict=True):
        weights = counts.flatten().tolist()
        masses = (planes * counts).flatten(1).tolist()
        a, b = (relations(each.flatten(1).T.tolist(), masses, weights) for each in (own, other))
        mass = {key: masses[key[0]][key[1]] if relations is variation else 1.0 for key in a}
        total = sum(mass.values())
        samples.append(sum(mass[key] * (a[key] - b[key]) ** 2 for key in a) / total if total else 0.0)
    return sum(samples) / len(samples)


def example(*space: int) -> tuple[torch.Tensor, ...]:
    """Maps of 3 and 5 channels, a label of 4 classes and a `where`.

    Sample 1 has class 1 alone beside background, sample 2 foreground alone, sample 3 background alone; a quarter of the
    voxels has no label.
    """
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(4, 3, *space, dtype=torch.float64, generator=generator)
    teacher = torch.randn(4, 5, *space, dtype=torch.float64, generator=generator)
    classes = torch.randint(0, 4, (4, *space), generator=generator)
    classes[1] = classes[1].clamp_max(1)
    classes[2] = classes[2].clamp_min(1)
    classes[3] = 0
    label = torch.nn.functional.one_hot(classes, 4).movedim(-1, 1).double()
    label = label * (torch.rand(4, 1, *space, generator=generator) > 0.25)
    where = (torch.rand(4, 1, *space, dtype=torch.float64, generator=generator) - 0.2).clamp_min(0)
    return student, teacher, label, where


@every_loss
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("space", [(4, 5), (4, 3, 2)])
def test_against_loops(space: tuple[int, ...], masked: bool, loss: Any, relations: Any) -> None:
    student, teacher, label, where = example(*space)
    expected = by_loops(relations, student, teacher, label, where if masked else torch.ones_like(where))
    value = float(loss(student, teacher, label=label, where=where if masked else None))
    assert value == pytest.approx(expected, rel=1e-10)


def test_two_voxels_of_two_classes_by_hand() -> None:
    """At a right angle to the student, at 60 degrees to the teacher; all of unit length."""
    student = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    teacher = torch.tensor([[[[1.0, 0.5]], [[0.0, math.sqrt(0.75)]]]])
    label = torch.eye(2).view(1, 2, 1, 2)
    assert float(ClassContrast()(student, teacher, label)) == pytest.approx(0.25)
    assert float(RegionAffinity()(student, teacher, label)) == pytest.approx(0.25)
    assert float(ClassDistances()(student, teacher, label)) == pytest.approx((math.sqrt(2) - 1) ** 2)
    assert float(ClassVariation()(student, teacher, label)) == pytest.approx(0, abs=1e-12)
    one = torch.ones(1, 1, 1, 2)  # one class: the cosine with the mean is cos 45 and cos 30
    expected = (math.cos(math.pi / 4) - math.cos(math.pi / 6)) ** 2
    assert float(ClassVariation()(student, teacher, one)) == pytest.approx(expected)


@every_loss
def test_unlabelled_voxels_do_not_matter(loss: Any, relations: Any) -> None:
    """Distances are told in units of all features that count: there it takes `where`, too."""
    student, teacher, label, _ = example(4, 5)
    ignored = (label.sum(1, keepdim=True) == 0).double()
    expected = float(loss(student, teacher, label=label, where=1 - ignored))
    value = float(loss(student + 9 * ignored, teacher, label=label, where=1 - ignored))
    assert value == pytest.approx(expected, rel=1e-12)
    if not isinstance(loss, ClassDistances):
        value = float(loss(student + 9 * ignored, teacher, label=label))
        assert value == pytest.approx(expected, rel=1e-12)


@every_loss
def test_scale_of_the_features_does_not_matter(loss: Any, relations: Any) -> None:
    student, teacher, label, where = example(4, 5)
    expected = float(loss(student, teacher, label=label, where=where))
    for scale in (1e-30, 1e30):
        value = float(
            loss((scale * student).float(), teacher.float(), label=label.float(), where=where.float())
        )
        assert value == pytest.approx(expected, rel=1e-4)


def test_overlapping_regions() -> None:
    """All planes are foreground, and what is in none of them is background."""
    student, teacher, label, where = example(4, 5)
    planes = label.clone()
    planes[:, 1] = torch.maximum(planes[:, 1], planes[:, 2])  # the second region holds the third
    foreground = planes.amax(1, keepdim=True)
    expected = RegionAffinity()(student, teacher, torch.cat([1 - foreground, foreground], dim=1), where)
    value = RegionAffinity(regions=True)(student, teacher, planes, where)
    assert float(value) == pytest.approx(float(expected), rel=1e-12) != 0
    one = RegionAffinity(regions=True)(student, teacher, foreground, where)
    assert float(one) == pytest.approx(float(expected), rel=1e-12)


def test_background_alone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2 planes at least.*regions"):
        RegionAffinity()(torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4), torch.ones(1, 1, 4, 4))
