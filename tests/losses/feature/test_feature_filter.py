from __future__ import annotations

import math

import pytest
import torch

from segdistill.losses.feature.feature_filter import FeatureFilter


def filtered_by_loops(feature: torch.Tensor, where: list[float]) -> list[float]:
    """M of one sample (channel, *space)."""
    rectified = [[max(value, 0.0) for value in channel] for channel in feature.flatten(1).tolist()]
    averages = [sum(w * v for w, v in zip(where, channel, strict=True)) / sum(where) for channel in rectified]
    exponentials = [math.exp(average) for average in averages]
    shares = [e / sum(exponentials) for e in exponentials]
    width = len(shares)
    return [sum(shares[c] * rectified[c][v] for c in range(width)) / width for v in range(len(where))]


@pytest.mark.parametrize("threshold", [0.5, 0.52])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_against_loops(space: tuple[int, ...], weighted: bool, threshold: float) -> None:
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(2, 3, *space, dtype=torch.float64, generator=generator)
    teacher = torch.randn(2, 5, *space, dtype=torch.float64, generator=generator)
    where = torch.rand(2, 1, *space, dtype=torch.float64, generator=generator)
    samples, kept = [], []
    for sample in range(2):
        counts = where[sample].flatten().tolist() if weighted else [1.0] * where[0].numel()
        own, other = filtered_by_loops(student[sample], counts), filtered_by_loops(teacher[sample], counts)
        total, weights = 0.0, 0.0
        for a, b, count in zip(own, other, counts, strict=True):
            p = 1 / (1 + math.exp(-b))
            if p >= threshold or 1 - p >= threshold:
                kept.append(p)
                weights += count * math.exp(0.6 * p)
                total += count * math.exp(0.6 * p) * (a - b) ** 2
        samples.append(total / weights)
    assert len(kept) == 24 if threshold == 0.5 else 0 < len(kept) < 24
    value = FeatureFilter(threshold=threshold)(student, teacher, where if weighted else None)
    assert float(value) == pytest.approx(sum(samples) / 2, rel=1e-10)


def test_by_hand() -> None:
    """One channel: its share is 1, so M = ReLU F; the active voxel of the teacher counts more."""
    student, teacher = torch.tensor([[[[-5.0, 3.0]]]]), torch.tensor([[[[1.0, 0.0]]]])
    active, silent = math.exp(0.6 / (1 + math.exp(-1))), math.exp(0.3)
    expected = (active * 1 + silent * 9) / (active + silent)
    assert float(FeatureFilter()(student, teacher)) == pytest.approx(expected, rel=1e-6)
    assert float(FeatureFilter(gamma=0)(student, teacher)) == pytest.approx(5)


def test_teacher_that_is_nowhere_active_enough_teaches_nothing() -> None:
    student = torch.ones(2, 3, 4, 4, requires_grad=True)
    value = FeatureFilter(threshold=0.9)(student, torch.ones(2, 5, 4, 4))
    value.backward()
    assert value.item() == 0 and student.grad is not None and student.grad.abs().max() == 0


def test_weight_carries_no_gradient() -> None:
    """The gradient to a teacher that asks for one comes from M alone."""
    student, teacher = torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 2.0]]]], requires_grad=True)
    FeatureFilter()(student, teacher).backward()
    u = [math.exp(0.6 / (1 + math.exp(-m))) for m in (1.0, 2.0)]
    assert teacher.grad is not None
    assert teacher.grad.flatten().tolist() == pytest.approx(
        [2 * u[0] * 1 / sum(u), 2 * u[1] * 2 / sum(u)], rel=1e-5
    )
