from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from segdistill.projectors.convolution import Convolution


def numbered(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_convolution_is_a_matrix_at_every_voxel(spatial_dims: int) -> None:
    space = (2, 3, 2)[:spatial_dims]
    projector = Convolution(3, 5, spatial_dims).double()
    student, teacher = numbered(2, 3, *space), numbered(2, 5, *space)
    own, other = projector(student, teacher)
    weight, bias = projector.project.weight.flatten(1), projector.project.bias
    assert bias is not None
    for batch in range(2):
        for voxel in range(math.prod(space)):
            expected = weight @ student.flatten(2)[batch, :, voxel] + bias
            assert torch.allclose(own.flatten(2)[batch, :, voxel], expected)
    assert other is teacher
