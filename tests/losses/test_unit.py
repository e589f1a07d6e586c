from __future__ import annotations

import pytest
import torch

from segdistill.losses.unit import unit


@pytest.mark.parametrize("scale", [1e-30, 1, 1e30])
def test_length_is_one_at_any_scale(scale: float) -> None:
    vectors = torch.tensor([[3.0, 4.0], [0.0, -2.0]])
    assert torch.allclose(unit(scale * vectors, 1), torch.tensor([[0.6, 0.8], [0.0, -1.0]]))


def test_zeros_stay_zeros_with_a_sober_gradient() -> None:
    vectors = torch.zeros(2, 3, requires_grad=True)
    value = unit(vectors, 1)
    value.sum().backward()
    assert value.abs().max() == 0
    assert vectors.grad is not None and vectors.grad.abs().max() <= 1
