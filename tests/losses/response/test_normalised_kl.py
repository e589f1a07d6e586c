from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from segdistill.losses.response.normalised_kl import NormalisedKL


def softmax(scores: list[float]) -> list[float]:
    exponentials = [math.exp(score - max(scores)) for score in scores]
    return [e / sum(exponentials) for e in exponentials]


def one_voxel(own: list[float], other: list[float], target: int, gamma: float, temperature: float) -> float:
    value = -softmax(other)[target] * math.log(softmax(own)[target])
    p = softmax([z / temperature for k, z in enumerate(own) if k != target])
    q = softmax([z / temperature for k, z in enumerate(other) if k != target])
    return value - gamma * temperature**2 * sum(b * math.log(a) for a, b in zip(p, q, strict=True))


def example(space: tuple[int, ...], classes: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Student, teacher and class numbers."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = 2 * torch.randn(2, 2, classes, *space, dtype=torch.float64, generator=generator)
    return student, teacher, torch.randint(0, classes, (2, *space), generator=generator)


def planes(number: torch.Tensor, classes: int = 3) -> torch.Tensor:
    return F.one_hot(number, classes).movedim(-1, 1).double()


@pytest.mark.parametrize("gamma, temperature", [(1.5, 1), (0.5, 4), (0, 1)])
@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_against_loops(space: tuple[int, ...], gamma: float, temperature: float) -> None:
    student, teacher, number = example(space)
    samples = []
    for own, other, classes in zip(student.flatten(2), teacher.flatten(2), number.flatten(1), strict=True):
        voxels = [
            one_voxel(
                own[:, voxel].tolist(), other[:, voxel].tolist(), int(classes[voxel]), gamma, temperature
            )
            for voxel in range(own.shape[1])
        ]
        samples.append(sum(voxels) / len(voxels))
    value = float(NormalisedKL(gamma, temperature)(student, teacher, planes(number)))
    assert value == pytest.approx(sum(samples) / len(samples), rel=1e-10)


def test_one_voxel_by_hand() -> None:
    """q = (1/2, 1/4, 1/4), p = (1/4, 1/2, 1/4), target 0: q^ = (1/2, 1/2), p^ = (2/3, 1/3)."""
    teacher = torch.tensor([0.5, 0.25, 0.25]).log().view(1, 3, 1, 1)
    student = torch.tensor([0.25, 0.5, 0.25]).log().view(1, 3, 1, 1)
    label = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    expected = 0.5 * math.log(4) + 1.5 * (0.5 * math.log(3 / 2) + 0.5 * math.log(3))
    assert float(NormalisedKL()(student, teacher, label)) == pytest.approx(expected, rel=1e-5)


def test_least_among_the_others_where_student_and_teacher_agree() -> None:
    """A cross-entropy: not 0 at equal, but smaller than anywhere else."""
    _, teacher, number = example((3, 4))
    others = NormalisedKL(gamma=1e6)
    least = float(others(teacher, teacher, planes(number)))
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        step = 0.1 * torch.randn(teacher.shape, dtype=torch.float64, generator=generator)
        assert float(others(teacher + step, teacher, planes(number))) > least > 0


def test_two_classes_leave_the_target_part_alone() -> None:
    student, teacher, number = example((3, 4), classes=2)
    label = planes(number, 2)
    expected = -(teacher.softmax(1) * student.log_softmax(1) * label).sum(1).mean()
    for gamma in (0, 1.5):
        assert float(NormalisedKL(gamma)(student, teacher, label)) == pytest.approx(float(expected))


def test_voxels_without_label_are_left_out() -> None:
    student, teacher, number = example((3, 4))
    label = planes(number)
    label[..., 2:] = 0
    part = NormalisedKL()(student[..., :2], teacher[..., :2], label[..., :2])
    assert float(NormalisedKL()(student, teacher, label)) == pytest.approx(float(part), rel=1e-10)
    assert float(NormalisedKL()(student, teacher, torch.zeros_like(label))) == 0


def test_label_of_class_numbers_is_refused() -> None:
    student, teacher, number = example((3, 4))
    with pytest.raises(ValueError, match="one plane a class"):
        NormalisedKL()(student, teacher, number[:, None].double())
