from __future__ import annotations

import itertools
import math
from typing import get_args

import pytest
import torch

from segdistill.losses.relation.nodes import Pooling, cell, nodes


@pytest.mark.parametrize(
    "space, most, scale, expected",
    [
        ((8, 8), 4096, 0.5, (4, 4)),
        ((65, 64), 4096, 0.5, (32, 32)),  # three cells along the first axis, the last of one voxel
        ((3, 1), 4096, 0.5, (1, 1)),
        ((48, 48, 48), 4096, 1 / 48, (4, 4, 2)),  # 12 x 12 x 24 = 3456
        ((48, 48, 48), 64, 0.0, (16, 16, 8)),  # 3 x 3 x 6 = 54
        ((10, 4), 1, 0.0, (16, 4)),
    ],
    ids=str,
)
def test_cells_fit(space: tuple[int, ...], most: int, scale: float, expected: tuple[int, ...]) -> None:
    assert cell(space, most, scale) == expected


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("pooling", get_args(Pooling))
@pytest.mark.parametrize("space, sides", [((5, 4), (2, 3)), ((3, 2, 5), (2, 2, 2))], ids=str)
def test_against_loops(
    space: tuple[int, ...], sides: tuple[int, ...], pooling: Pooling, masked: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    feature = torch.randn(2, 3, *space, dtype=torch.float64, generator=generator)
    where = (torch.rand(2, 1, *space, dtype=torch.float64, generator=generator) - 0.4).clamp_min(0)
    where[0].view(1, -1)[:, :10] = 0
    vectors, weight = nodes(feature, where if masked else None, sides, pooling)
    starts = itertools.product(*(range(0, size, side) for size, side in zip(space, sides, strict=True)))
    found = list(starts)
    assert vectors.shape == (2, len(found), 3) and weight.shape == (2, len(found))
    for sample, (node, start) in itertools.product(range(2), enumerate(found)):
        ends = [min(a + side, size) for a, side, size in zip(start, sides, space, strict=True)]
        inside = list(itertools.product(*(range(a, b) for a, b in zip(start, ends, strict=True))))
        weights = [float(where[(sample, 0, *at)]) if masked else 1.0 for at in inside]
        assert float(weight[sample, node]) == pytest.approx(sum(weights) / len(inside))
        for channel in range(3):
            numbers = [float(feature[(sample, channel, *at)]) for at in inside]
            counted = [(n, w) for n, w in zip(numbers, weights, strict=True) if w > 0]
            if not counted:
                expected = 0.0
            elif pooling == "max":
                expected = max(n for n, _ in counted)
            else:
                expected = sum(n * w for n, w in counted) / math.fsum(w for _, w in counted)
            assert float(vectors[sample, node, channel]) == pytest.approx(expected)
