from __future__ import annotations

import math

import pytest
import torch

from segdistill.losses.feature.attention_transfer import AttentionTransfer, attention


def attention_by_loops(feature: torch.Tensor, power: float) -> list[float]:
    """Of one sample (channel, *space)."""
    flat = feature.flatten(1).tolist()
    means = [sum(abs(channel[v]) ** power for channel in flat) / len(flat) for v in range(feature[0].numel())]
    length = math.sqrt(sum(m * m for m in means))
    return [m / length for m in means]


@pytest.mark.parametrize("power", [1, 2, 2.5, 4])
@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_against_loops(space: tuple[int, ...], power: float) -> None:
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(2, 3, *space, dtype=torch.float64, generator=generator)
    teacher = torch.randn(2, 5, *space, dtype=torch.float64, generator=generator)
    expected = []
    for own, other in zip(student, teacher, strict=True):
        a, b = attention_by_loops(own, power), attention_by_loops(other, power)
        expected.append(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))
    value = float(AttentionTransfer(power)(student, teacher))
    assert value == pytest.approx(sum(expected) / len(expected), rel=1e-10)


@pytest.mark.parametrize("scale", [1e-15, 1e-6, 1, 1e6, 1e15])
def test_scale_of_the_features_does_not_matter(scale: float) -> None:
    """|F|^4 of small or large features would leave the range of numbers."""
    student, teacher = torch.randn(2, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = float(AttentionTransfer(4)(student, teacher))
    assert float(AttentionTransfer(4)(scale * student, teacher)) == pytest.approx(expected, rel=1e-4)


def test_unrelated_maps_are_at_most_two_apart() -> None:
    left, right = torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)
    left[..., :2], right[..., 2:] = 1, 1
    assert float(AttentionTransfer()(left, right)) == pytest.approx(2)


def test_attention_has_unit_length_and_is_zero_for_a_map_of_zeros() -> None:
    feature = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    feature[1] = 0
    lengths = attention(feature, 2.0).norm(dim=1)
    assert lengths.tolist() == pytest.approx([1, 0, 1])
