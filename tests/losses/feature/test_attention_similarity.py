from __future__ import annotations

import math
from typing import Literal, get_args

import pytest
import torch

from segdistill.losses.feature.attention_similarity import AttentionSimilarity, Norm

Cells = dict[tuple[int, int], float]  # (channel, voxel) -> value; at_l2: channel 0 alone


def normalised(feature: torch.Tensor, norm: str) -> Cells:
    """N(F) of one sample (channel, *space), cell by cell."""
    flat = feature.flatten(1).tolist()
    channels, voxels = range(len(flat)), range(len(flat[0]))
    if norm == "at_l2":
        means = [sum(flat[c][v] ** 2 for c in channels) / len(flat) for v in voxels]
        return {(0, v): means[v] / math.sqrt(sum(m * m for m in means)) for v in voxels}
    cells = {}
    for c in channels:
        for v in voxels:
            if norm == "l1_global":
                over = [flat[d][w] for d in channels for w in voxels]
            elif norm == "l1_channel":
                over = [flat[d][v] for d in channels]
            else:
                over = [flat[c][w] for w in voxels]
            cells[c, v] = flat[c][v] / sum(abs(value) for value in over)
    return cells


@pytest.mark.parametrize("norm", get_args(Norm))
@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_against_loops(space: tuple[int, ...], norm: Norm) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 2, 3, *space, dtype=torch.float64, generator=generator)
    expected = []
    for own, other in zip(student, teacher, strict=True):
        a, b = normalised(own, norm), normalised(other, norm)
        expected.append(math.sqrt(sum((a[cell] - b[cell]) ** 2 for cell in a)))
    value = float(AttentionSimilarity(norm)(student, teacher))
    assert value == pytest.approx(sum(expected) / len(expected), rel=1e-10)


def unrelated(channels: int, *space: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two unrelated rectified maps."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 1, channels, *space, generator=generator).relu_()
    return maps[0], maps[1]


@pytest.mark.parametrize(
    "norm, published", [("l1_global", 0.0096), ("l1_channel", 7), ("at_l2", 0.386)], ids=str
)
def test_size_at_the_deepest_map_of_the_paper(
    norm: Literal["l1_global", "l1_channel", "at_l2"], published: float
) -> None:
    """64 channels of 9^3: the printed loss (`l1_global`) is a hundredth of Dice + focal."""
    student, teacher = unrelated(64, 9, 9, 9)
    assert float(AttentionSimilarity(norm)(student, teacher)) == pytest.approx(published, rel=0.05)


def test_printed_norm_falls_with_the_size_of_the_map() -> None:
    """About 2.07 / sqrt(n): 0.0096 for 64 x 9^3, 0.00042 for 8 x 144^3, the paper's deepest and last maps."""
    for side in (12, 24, 36):
        student, teacher = unrelated(8, side, side, side)
        law = 2.069 / math.sqrt(8 * side**3)
        assert float(AttentionSimilarity()(student, teacher)) == pytest.approx(law, rel=0.03)
    assert 2.069 / math.sqrt(8 * 144**3) == pytest.approx(0.00042, rel=0.02)


def test_channel_norm_grows_with_the_size_of_the_map() -> None:
    """Like sqrt(voxels): 1.3e3 for 8 x 144^3."""
    student, teacher = unrelated(8, 24, 24, 24)
    value = float(AttentionSimilarity("l1_channel")(student, teacher))
    assert value * math.sqrt(144**3 / 24**3) == pytest.approx(1.3e3, rel=0.05)


def test_attention_vectors_compare_at_any_width() -> None:
    student, teacher = torch.rand(1, 3, 4, 4), torch.rand(1, 7, 4, 4)
    assert torch.isfinite(AttentionSimilarity("at_l2")(student, teacher))
    with pytest.raises(ValueError, match="a projector brings widths together"):
        AttentionSimilarity("l1_global")(student, teacher)


@pytest.mark.parametrize("norm", ["l1_global", "l1_space", "l1_channel"])
def test_dead_channel_gives_no_huge_gradient(norm: Norm) -> None:
    student, teacher = unrelated(4, 6, 6)
    student = student.clone()
    student[:, 1], student[..., 2, 3] = 0, 0
    student.requires_grad_()
    AttentionSimilarity(norm)(student, teacher).backward()
    assert student.grad is not None and student.grad.abs().max() < 10
