from __future__ import annotations

import pytest
import torch

from segdistill.losses.feature.mse import MSE


@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_against_loops(space: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 2, 3, *space, dtype=torch.float64, generator=generator)
    squares = [
        (a - b) ** 2 for a, b in zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True)
    ]
    assert float(MSE()(student, teacher)) == pytest.approx(sum(squares) / len(squares), rel=1e-12)


def test_channels_are_averaged() -> None:
    student = torch.ones(1, 2, 4, 4)
    wide = torch.ones(1, 64, 4, 4)
    assert float(MSE()(student, 0 * student)) == float(MSE()(wide, 0 * wide)) == 1.0
