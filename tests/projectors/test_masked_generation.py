from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segdistill.projectors.masked_generation import MaskedGeneration


def by_hand(part: MaskedGeneration, feature: torch.Tensor) -> torch.Tensor:
    """Align, 3x3, ReLU, 3x3, with the part's own weights."""
    convolve = {4: F.conv2d, 5: F.conv3d}[feature.ndim]
    if not isinstance(part.align, nn.Identity):
        feature = convolve(feature, part.align.weight, part.align.bias)  # type: ignore[arg-type]
    first, _, second = part.generate
    feature = convolve(feature, first.weight, first.bias, padding=1).clamp_min(0)  # type: ignore[arg-type]
    return convolve(feature, second.weight, second.bias, padding=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("widths", [(3, 5), (4, 4)])
@pytest.mark.parametrize("space", [(4, 5), (4, 3, 2)])
def test_nothing_is_masked_in_evaluation(space: tuple[int, ...], widths: tuple[int, int]) -> None:
    part = MaskedGeneration(*widths, len(space)).eval()
    student, teacher = torch.randn(2, widths[0], *space), torch.randn(2, widths[1], *space)
    own, other = part(student, teacher)
    assert torch.allclose(own, by_hand(part, student), atol=1e-6) and other is teacher
    assert isinstance(part.align, nn.Identity) == (widths[0] == widths[1])


@pytest.mark.parametrize("over", ["channels", "voxels"])
@pytest.mark.parametrize("space", [(8, 8), (4, 4, 4)])
def test_share_that_is_masked(space: tuple[int, ...], over: str) -> None:
    """Whole channels, or all channels of a voxel; the rest is left as it is."""
    torch.manual_seed(0)
    part = MaskedGeneration(64, 64, len(space), mask=0.3, over=over)  # type: ignore[arg-type]
    seen = []
    part.generate.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    feature = torch.ones(8, 64, *space)
    part(feature, feature)
    kept = seen[0]
    assert set(kept.unique().tolist()) == {0, 1}
    per_unit = kept.flatten(2).mean(2) if over == "channels" else kept.mean(1)
    assert set(per_unit.unique().tolist()) == {0, 1}
    deviation = math.sqrt(0.3 * 0.7 / (8 * 64))
    assert float(1 - kept.mean()) == pytest.approx(0.3, abs=4 * deviation)


def test_mask_follows_the_global_seed() -> None:
    part = MaskedGeneration(8, 8, 2, mask=0.5)
    feature = torch.randn(2, 8, 4, 4)
    answers = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        answers.append(part(feature, feature)[0])
    assert torch.equal(answers[0], answers[1]) and not torch.equal(answers[0], answers[2])
