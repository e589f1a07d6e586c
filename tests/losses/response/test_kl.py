from __future__ import annotations

import math
from typing import Literal

import pytest
import torch

from segdistill.losses.response.kl import KL


def softmax(scores: list[float]) -> list[float]:
    exponentials = [math.exp(score - max(scores)) for score in scores]
    return [e / sum(exponentials) for e in exponentials]


def voxel_by_voxel(student: torch.Tensor, teacher: torch.Tensor, temperature: float, reverse: bool) -> float:
    samples = []
    for own, other in zip(student.flatten(2), teacher.flatten(2), strict=True):
        voxels = []
        for voxel in range(own.shape[1]):
            p = softmax([float(z) / temperature for z in own[:, voxel]])
            q = softmax([float(z) / temperature for z in other[:, voxel]])
            first, second = (p, q) if reverse else (q, p)
            voxels.append(sum(a * math.log(a / b) for a, b in zip(first, second, strict=True)))
        samples.append(sum(voxels) / len(voxels))
    return temperature**2 * sum(samples) / len(samples)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("temperature", [0.5, 1, 4])
@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_against_loops(
    space: tuple[int, ...], temperature: float, direction: Literal["forward", "reverse"]
) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = 3 * torch.randn(2, 2, 3, *space, dtype=torch.float64, generator=generator)
    expected = voxel_by_voxel(student, teacher, temperature, direction == "reverse")
    assert float(KL(temperature, direction)(student, teacher)) == pytest.approx(expected, rel=1e-10)


def test_directions_differ_and_mirror_each_other() -> None:
    student, teacher = torch.tensor([[[[2.0]], [[0.0]]]]), torch.tensor([[[[-1.0]], [[0.5]]]])
    forward, reverse = KL()(student, teacher), KL(direction="reverse")(student, teacher)
    assert float(forward) != pytest.approx(float(reverse), rel=0.01)
    assert float(KL(direction="reverse")(teacher, student)) == pytest.approx(float(forward), rel=1e-6)


def test_temperature_keeps_the_size_of_the_gradient() -> None:
    """T^2 KL tends to half the mean squared difference of centred scores over the classes, as T grows."""
    student, teacher = torch.tensor([[[[2.0]], [[0.0]]]]), torch.tensor([[[[-1.0]], [[1.0]]]])
    difference = (student - teacher) - (student - teacher).mean(1, keepdim=True)
    limit = float(difference.square().mean(1).sum() / 2)
    assert float(KL(temperature=100)(student, teacher)) == pytest.approx(limit, rel=1e-3)


def test_shift_of_all_scores_does_not_matter() -> None:
    student, teacher = torch.randn(2, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert float(KL()(student + 5, teacher - 3)) == pytest.approx(float(KL()(student, teacher)), rel=1e-4)


@pytest.mark.parametrize("channels", [2, 4, 6])
def test_reduction_over_pairs_reads_maps_as_rows_of_two(channels: int) -> None:
    """As the published code of HLFD does: rows of two channels are what the sum is divided by."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 2, channels, 3, 5, dtype=torch.float64, generator=generator)
    total = 0.0
    for own, other in zip(student.flatten(2), teacher.flatten(2), strict=True):
        for voxel in range(own.shape[1]):
            p = softmax([float(z) / 4 for z in own[:, voxel]])
            q = softmax([float(z) / 4 for z in other[:, voxel]])
            total += sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
    rows = student.numel() // 2
    value = float(KL(temperature=4, reduction="pairs")(student, teacher))
    assert value == pytest.approx(16 * total / rows, rel=1e-10)
    assert value == pytest.approx(2 / channels * float(KL(temperature=4)(student, teacher)), rel=1e-12)


def test_half_precision_is_computed_in_single() -> None:
    """Probabilities that differ by 0.003: bfloat16 has two digits of them."""
    student = torch.tensor([[[[1.0]], [[0.0]]]], dtype=torch.bfloat16)
    teacher = torch.tensor([[[[1.015625]], [[0.0]]]], dtype=torch.bfloat16)
    value = KL()(student, teacher)
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(float(KL()(student.double(), teacher.double())), rel=1e-2)


def test_one_channel_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2 channels at least.*\[0, z\]"):
        KL()(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))
