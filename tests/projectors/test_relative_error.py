from __future__ import annotations

import pytest
import torch

from segdistill.projectors.relative_error import relative_error


@pytest.mark.parametrize("scale", [1e-6, 1, 1e6])
def test_share_that_is_not_explained(scale: float) -> None:
    target = torch.tensor([1.0, 3.0, 5.0, 7.0]) * scale  # mean 4, variance 5
    assert float(relative_error(target, target)) == 0
    assert float(relative_error(torch.full((4,), 4.0 * scale), target)) == pytest.approx(1)
    assert float(relative_error(torch.tensor([2.0, 3.0, 5.0, 7.0]) * scale, target)) == pytest.approx(0.05)


def test_nearly_constant_target() -> None:
    """A thousandth of the mean square stands in for the variance; nothing stands in for zeros."""
    assert float(relative_error(torch.full((4,), 1.1), torch.ones(4))) == pytest.approx(0.01 / 1e-3, rel=1e-5)
    assert float(relative_error(torch.full((4,), 0.5), torch.zeros(4))) == 0.25


def test_variance_carries_no_gradient() -> None:
    target = torch.tensor([1.0, -1.0], requires_grad=True)
    relative_error(torch.zeros(2), target).backward()
    assert target.grad is not None and target.grad.tolist() == [1, -1]
