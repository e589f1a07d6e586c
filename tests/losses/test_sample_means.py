from __future__ import annotations

import pytest
import torch

from segdistill.losses.voxels import sample_means


@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_against_loops(space: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    feature = torch.randn(2, 3, *space, dtype=torch.float64, generator=generator)
    where = torch.rand(2, 1, *space, dtype=torch.float64, generator=generator)
    for weighted in (False, True):
        found = sample_means(feature, where if weighted else None)[0]
        for sample in range(2):
            weights = where[sample].flatten().tolist() if weighted else [1.0] * where[0].numel()
            for channel in range(3):
                values = feature[sample, channel].flatten().tolist()
                expected = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
                assert float(found[sample, channel]) == pytest.approx(expected, rel=1e-12)


def test_no_voxel_counts() -> None:
    assert sample_means(torch.ones(1, 2, 3, 3), torch.zeros(1, 1, 3, 3))[0].tolist() == [[0, 0]]
