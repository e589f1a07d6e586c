from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from segdistill.losses.response.decoupled_kl import DecoupledKL
from segdistill.losses.response.kl import KL


def softmax(scores: list[float]) -> list[float]:
    exponentials = [math.exp(score - max(scores)) for score in scores]
    return [e / sum(exponentials) for e in exponentials]


def divergence(first: list[float], second: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(first, second, strict=True))


def one_voxel(own: list[float], other: list[float], target: int, temperature: float) -> tuple[float, float]:
    """The target part and the part among the other classes."""
    p, q = softmax([z / temperature for z in own]), softmax([z / temperature for z in other])
    of_target = divergence([q[target], 1 - q[target]], [p[target], 1 - p[target]])
    own_rest = [z / temperature for k, z in enumerate(own) if k != target]
    other_rest = [z / temperature for k, z in enumerate(other) if k != target]
    return of_target, divergence(softmax(other_rest), softmax(own_rest))


def example(
    space: tuple[int, ...], classes: int = 3
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Student, teacher, class numbers and their planes."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = 2 * torch.randn(2, 2, classes, *space, dtype=torch.float64, generator=generator)
    number = torch.randint(0, classes, (2, *space), generator=generator)
    return student, teacher, number, F.one_hot(number, classes).movedim(-1, 1).double()


@pytest.mark.parametrize("alpha, beta, temperature", [(1, 8, 4), (1, 0.5, 1), (0, 1, 2)])
@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_against_loops(space: tuple[int, ...], alpha: float, beta: float, temperature: float) -> None:
    student, teacher, number, label = example(space)
    samples = []
    for own, other, classes in zip(student.flatten(2), teacher.flatten(2), number.flatten(1), strict=True):
        voxels = []
        for voxel in range(own.shape[1]):
            parts = one_voxel(
                own[:, voxel].tolist(), other[:, voxel].tolist(), int(classes[voxel]), temperature
            )
            voxels.append(alpha * parts[0] + beta * parts[1])
        samples.append(sum(voxels) / len(voxels))
    value = float(DecoupledKL(alpha, beta, temperature)(student, teacher, label))
    assert value == pytest.approx(temperature**2 * sum(samples) / len(samples), rel=1e-10)


def test_one_voxel_by_hand() -> None:
    """q = (1/2, 1/4, 1/4), p = (1/4, 1/2, 1/4), target 0: KL(1/2, 1/2 || 1/4, 3/4) and KL(1/2, 1/2 || 2/3, 1/3)."""
    teacher = torch.tensor([0.5, 0.25, 0.25]).log().view(1, 3, 1, 1)
    student = torch.tensor([0.25, 0.5, 0.25]).log().view(1, 3, 1, 1)
    label = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    of_target = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    of_others = 0.5 * math.log(3 / 4) + 0.5 * math.log(3 / 2)
    value = float(DecoupledKL(alpha=3, beta=5, temperature=1)(student, teacher, label))
    assert value == pytest.approx(3 * of_target + 5 * of_others, rel=1e-5)


def test_kl_is_its_two_parts_with_the_teachers_doubt_as_weight() -> None:
    """One voxel: KL = target part + (1 - q_y) part among the others."""
    student, teacher, number, label = example((1, 1))
    student, teacher, label = student[:1], teacher[:1], label[:1]
    doubt = 1 - float(teacher.softmax(1)[0, int(number[0, 0, 0])])
    value = float(DecoupledKL(1, doubt, 1)(student, teacher, label))
    assert value == pytest.approx(float(KL()(student, teacher)), rel=1e-10)


def test_two_classes_are_kl() -> None:
    student, teacher, _, label = example((3, 4), classes=2)
    value = float(DecoupledKL(alpha=2, beta=8, temperature=3)(student, teacher, label))
    assert value == pytest.approx(2 * float(KL(3)(student, teacher)), rel=1e-10)


def test_voxels_without_label_are_left_out() -> None:
    student, teacher, _, label = example((3, 4))
    label[..., 2:] = 0
    value = float(DecoupledKL()(student, teacher, label))
    part = DecoupledKL()(student[..., :2], teacher[..., :2], label[..., :2])
    assert value == pytest.approx(float(part), rel=1e-10)
    assert float(DecoupledKL()(student, teacher, torch.zeros_like(label))) == 0


def test_label_of_class_numbers_is_refused() -> None:
    student, teacher, number, _ = example((3, 4))
    with pytest.raises(ValueError, match="one plane a class"):
        DecoupledKL()(student, teacher, number[:, None].double())
