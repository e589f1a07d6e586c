from __future__ import annotations

import numpy as np
import pytest
import torch

from segdistill.losses.relation.subspace import Subspace


def soft_projection(feature: torch.Tensor, weights: torch.Tensor, rank: int) -> list[list[float]]:
    """H of one sample (channel, *space), direction by direction of its singular value decomposition."""
    rows = (feature.flatten(1) * weights.flatten().sqrt()).T.numpy()
    left, values, _ = np.linalg.svd(rows, full_matrices=False)
    energy = sum(v * v for v in values)
    voxels = range(len(rows))
    found = [[0.0 for _ in voxels] for _ in voxels]
    for direction, value in enumerate(values):
        share = value * value / energy
        for n in voxels:
            for m in voxels:
                found[n][m] += share / (share + 1 / rank) * left[n, direction] * left[m, direction]
    return found


@pytest.mark.parametrize("rank", [1, 4])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
def test_against_loops(space: tuple[int, ...], masked: bool, rank: int) -> None:
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(2, 3, *space, dtype=torch.float64, generator=generator)
    teacher = torch.randn(2, 5, *space, dtype=torch.float64, generator=generator)
    where = torch.rand(2, 1, *space, dtype=torch.float64, generator=generator) if masked else None
    samples = []
    for sample in range(2):
        weights = torch.ones(space, dtype=torch.float64) if where is None else where[sample]
        own, other = (soft_projection(feature[sample], weights, rank) for feature in (student, teacher))
        apart = sum((x - y) ** 2 for a, b in zip(own, other, strict=True) for x, y in zip(a, b, strict=True))
        samples.append(apart / sum(x * x for h in (own, other) for row in h for x in row))
    value = float(Subspace(rank)(student, teacher, where))
    assert value == pytest.approx(sum(samples) / 2, rel=1e-9)


def test_nothing_in_common_is_one() -> None:
    student, teacher = torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 4, 4)
    student[..., :2], teacher[..., 2:] = torch.rand(4, 2), torch.rand(4, 2)
    assert float(Subspace()(student, teacher)) == pytest.approx(1)


def test_rotation_of_the_channels_does_not_matter() -> None:
    """A subspace has no basis of its own: a student that has turned the teacher's channels agrees with it."""
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(2, 6, 4, 4, dtype=torch.float64, generator=generator)
    rotation = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=generator)).Q
    student = 7 * torch.einsum("dc,bchw->bdhw", rotation, teacher)
    assert float(Subspace()(student, teacher)) == pytest.approx(0, abs=1e-12)


def test_noise_in_the_tail_hardly_counts() -> None:
    """The same noise weighs less where it is spread over many weak directions than where it makes a leading one."""
    generator = torch.Generator().manual_seed(0)
    signal = torch.einsum(
        "ck,kn->cn", *(torch.randn(*size, generator=generator) for size in ((16, 3), (3, 64)))
    )
    spread = torch.randn(16, 64, generator=generator)
    leading = torch.outer(torch.randn(16, generator=generator), torch.randn(64, generator=generator))
    clean, *noisy = (
        (signal + noise * signal.norm() / (2 * noise.norm().clamp_min(1e-6))).view(1, 16, 8, 8)
        for noise in (torch.zeros(16, 64), spread, leading)
    )
    of_spread, of_leading = (float(Subspace()(each, clean)) for each in noisy)
    assert 1.5 * of_spread < of_leading


def test_collapsed_student_is_not_perfect() -> None:
    """All channels one and the same pattern of the teacher."""
    teacher = torch.randn(1, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    assert float(Subspace()(teacher[:, :1].repeat(1, 6, 1, 1), teacher)) > 0.3


def test_gradient_with_equal_singular_values() -> None:
    """Where a decomposition has an infinite slope."""
    student = torch.eye(4).view(1, 4, 2, 2).requires_grad_()
    Subspace(2)(student, torch.rand(1, 4, 2, 2, generator=torch.Generator().manual_seed(0))).backward()
    assert student.grad is not None and 0 < student.grad.abs().max() < 1
