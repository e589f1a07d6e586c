from __future__ import annotations

import math

import pytest
import torch

from segdistill.losses.response.self_training import SelfTraining


def softmax(scores: list[float]) -> list[float]:
    exponentials = [math.exp(score - max(scores)) for score in scores]
    return [e / sum(exponentials) for e in exponentials]


def averages(maps: torch.Tensor, where: torch.Tensor) -> list[list[float]]:
    """Of each sample and channel, over its voxels."""
    found = []
    for sample, weight in zip(maps.flatten(2).tolist(), where.flatten(2).tolist(), strict=True):
        weighted = [[w * x for w, x in zip(weight[0], channel, strict=True)] for channel in sample]
        found.append([sum(channel) / sum(weight[0]) for channel in weighted])
    return found


def sample_by_sample(
    student: torch.Tensor, teacher: torch.Tensor, where: torch.Tensor, centred: bool
) -> float:
    own, other = averages(student, where), averages(teacher, where)
    channels = range(len(own[0]))
    centre = [sum(sample[c] for sample in other) / len(other) if centred else 0.0 for c in channels]
    values = []
    for s, t in zip(own, other, strict=True):
        q = softmax([(t[c] - centre[c]) / 0.04 for c in channels])
        p = softmax([s[c] / 0.1 for c in channels])
        values.append(-sum(b * math.log(a) for a, b in zip(p, q, strict=True)))
    return sum(values) / len(values)


def example(*space: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = 0.3 * torch.randn(2, 3, 4, *space, dtype=torch.float64, generator=generator)
    return student, teacher, torch.rand(3, 1, *space, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_against_loops(space: tuple[int, ...], centred: bool) -> None:
    student, teacher, where = example(*space)
    loss = SelfTraining(centre=centred)
    everywhere = sample_by_sample(student, teacher, torch.ones_like(where), centred)
    assert float(loss(student, teacher)) == pytest.approx(everywhere, rel=1e-9)
    weighted = sample_by_sample(student, teacher, where, centred)
    assert float(loss(student, teacher, where)) == pytest.approx(weighted, rel=1e-9)


def test_one_sample_by_hand() -> None:
    """A teacher that is sure of channel 0 after sharpening, a student at odds of 1 to 3 against it."""
    teacher = torch.tensor([10.0, 0.0]).view(1, 2, 1, 1)
    student = torch.tensor([0.0, math.log(3)]).view(1, 2, 1, 1)
    loss = SelfTraining(student_temperature=1, centre=False)
    assert float(loss(student, teacher)) == pytest.approx(math.log(4), rel=1e-6)


def test_centre_keeps_all_samples_from_one_channel() -> None:
    """What all samples of a batch have in common says nothing, however sure the teacher is of it."""
    _, teacher, _ = example(3, 4)
    bias = torch.tensor([9.0, 0.0, 0.0, 0.0]).view(1, 4, 1, 1)
    student = torch.zeros_like(teacher)
    centred, plain = SelfTraining(), SelfTraining(centre=False)
    same = float(centred(student + bias, teacher)), float(centred(student + bias, teacher + bias))
    assert same[0] == pytest.approx(same[1], rel=1e-9)
    assert float(plain(student + bias, teacher + bias)) < 1e-9 < 1 < same[1]


def test_batch_of_one_has_a_uniform_teacher() -> None:
    student, teacher, _ = example(3, 4)
    expected = -(student[:1].mean((2, 3)) / 0.1).log_softmax(1).mean()
    assert float(SelfTraining()(student[:1], teacher[:1])) == pytest.approx(float(expected), rel=1e-9)


def test_sample_without_weight_is_not_in_the_centre() -> None:
    student, teacher, _ = example(3, 4)
    where = torch.ones(3, 1, 3, 4, dtype=torch.float64)
    where[2] = 0
    two = float(SelfTraining()(student[:2], teacher[:2]))
    assert float(SelfTraining()(student, teacher, where)) == pytest.approx(2 / 3 * two, rel=1e-9)


def test_teacher_gets_no_gradient() -> None:
    student, teacher, _ = example(3, 4)
    student.requires_grad_()
    teacher.requires_grad_()
    SelfTraining()(student, teacher).backward()
    assert teacher.grad is None and student.grad is not None


def test_one_channel_is_refused() -> None:
    with pytest.raises(ValueError, match="2 channels at least"):
        SelfTraining()(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))
