from __future__ import annotations

import pytest
import torch
from torch import Tensor

from segdistill.teachers.view import View

every_space = pytest.mark.parametrize("space", [(6, 7), (5, 4, 3)], ids=["2-D", "3-D"])


def images(*space: int) -> Tensor:
    return 5 + 3 * torch.randn(2, 2, *space, generator=torch.Generator().manual_seed(0))


@every_space
def test_nothing_to_change(space: tuple[int, ...]) -> None:
    image = images(*space)
    changed = View(noise=0, brightness=0, contrast=0)(image)
    assert changed is not image and torch.allclose(changed, image, atol=1e-5)


@every_space
def test_without_noise_each_channel_is_shifted_and_stretched(space: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    image = images(*space)
    changed = View(noise=0, brightness=0.2, contrast=0.25)(image)
    factors = set()
    for own, other in zip(image.flatten(0, 1), changed.flatten(0, 1), strict=True):
        deviation = own.std(correction=0)
        factor = float(other.std(correction=0) / deviation)
        assert 0.75 <= factor <= 1.25
        assert abs(float((other.mean() - own.mean()) / deviation)) <= 0.2 + 1e-5
        assert torch.allclose((other - other.mean()) / factor, own - own.mean(), atol=1e-4)
        factors.add(round(factor, 4))
    assert len(factors) == 4  # drawn for every image and channel


def test_noise_is_in_deviations_of_the_channel() -> None:
    torch.manual_seed(0)
    image = 100 * images(80, 80)
    noise = View(noise=0.1, brightness=0, contrast=0)(image) - image
    assert float(noise.std() / image.std()) == pytest.approx(0.1, rel=0.05)
    assert float(noise.mean() / image.std()) == pytest.approx(0, abs=0.01)


def test_constant_channel_stays() -> None:
    image = torch.full((1, 1, 4, 4), 7.0)
    assert torch.equal(View()(image), image)


def test_the_seed_decides() -> None:
    image = images(4, 4)
    torch.manual_seed(3)
    first, second = View()(image), View()(image)
    torch.manual_seed(3)
    assert torch.equal(View()(image), first)
    assert not torch.allclose(first, second)
