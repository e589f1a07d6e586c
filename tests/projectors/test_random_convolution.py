from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from segdistill.losses.feature.mse import MSE
from segdistill.projectors.random_convolution import RandomConvolution


def numbered(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("side", ["teacher", "student"])
@pytest.mark.parametrize("space", [(2, 3), (2, 3, 2)])
def test_is_one_matrix_at_every_voxel(space: tuple[int, ...], side: Literal["teacher", "student"]) -> None:
    part = RandomConvolution(3, 5, len(space), side=side)
    student, teacher = numbered(2, 3, *space), numbered(2, 5, *space, seed=1)
    own, other = part(student, teacher)
    changed, found, kept = (teacher, other, own) if side == "teacher" else (student, own, other)
    assert kept is (student if side == "teacher" else teacher)
    matrix = part.matrix.double().tolist()
    for sample in range(2):
        for voxel in range(math.prod(space)):
            column = changed.flatten(2)[sample, :, voxel].tolist()
            expected = [sum(w * x for w, x in zip(row, column, strict=True)) for row in matrix]
            assert found.flatten(2)[sample, :, voxel].tolist() == pytest.approx(expected)


def test_distances_survive_where_the_width_grows() -> None:
    feature = numbered(1, 4, 6, 6)
    _, found = RandomConvolution(9, 4, 2)(numbered(1, 9, 6, 6), feature)
    before, after = (torch.pdist(each[0].flatten(1).T) for each in (feature, found))
    assert torch.allclose(after, before * math.sqrt(9 / 4), atol=1e-5)


@pytest.mark.parametrize("widths", [(4, 64), (64, 4), (16, 17)])
def test_mean_square_of_a_channel_is_kept(widths: tuple[int, int]) -> None:
    feature = numbered(1, widths[1], 60, 60)
    _, found = RandomConvolution(*widths, 2)(numbered(1, widths[0], 60, 60), feature)
    assert float(found.square().mean()) == pytest.approx(1, rel=0.05)
    before, after = (torch.pdist(each[0].flatten(1).T[:200]).square() for each in (feature, found))
    # On average; all distances together where the width shrinks to 4.
    assert float(after.mean() / before.mean()) == pytest.approx(widths[0] / widths[1], rel=0.1)


def test_fixed_by_its_seed_alone() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first, second, other = (RandomConvolution(3, 7, 3, seed=seed).matrix for seed in (5, 5, 6))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state), "the training's random numbers are left alone"


@pytest.mark.parametrize("redraw", [False, True])
def test_nothing_to_learn_or_to_save(redraw: bool) -> None:
    part = RandomConvolution(3, 7, 3, redraw=redraw)
    assert not list(part.parameters()) and not part.state_dict()


def test_equal_widths_are_left_alone() -> None:
    student, teacher = numbered(1, 5, 2, 2), numbered(1, 5, 2, 2)
    own, other = RandomConvolution(5, 5, 2)(student, teacher)
    assert own is student and other is teacher


@pytest.mark.parametrize("space", [(2, 3), (2, 3, 2)])
def test_redrawn_in_every_call_like_a_new_layer(space: tuple[int, ...]) -> None:
    part = RandomConvolution(3, 5, len(space), redraw=True)
    student, teacher = torch.randn(1, 3, *space), torch.randn(1, 5, *space)
    torch.manual_seed(0)
    layer = {2: nn.Conv2d, 3: nn.Conv3d}[len(space)](5, 3, kernel_size=1)
    torch.manual_seed(0)
    first, second = part(student, teacher)[1], part(student, teacher)[1]
    assert torch.equal(first, layer(teacher)) and not torch.allclose(first, second)


def effective_rank(feature: Tensor) -> float:
    """exp of the entropy of the shares of variance: how many directions the voxels fill."""
    variances = torch.linalg.eigvalsh(feature.transpose(0, 1).flatten(1).double().cov()).clamp_min(1e-30)
    shares = variances / variances.sum()
    return float((-(shares * shares.log()).sum()).exp())


def test_does_not_collapse_where_a_learned_projection_does() -> None:
    """A student that sees a little of what the teacher knows, taught through a fixed and a learned projection."""
    torch.manual_seed(0)
    teacher = torch.randn(4, 12, 8, 8)
    seen = teacher[:, :2] + torch.randn(4, 2, 8, 8)
    variance, rank = {}, {}
    fixed, learned = RandomConvolution(4, 12, 2), nn.Conv2d(12, 4, kernel_size=1)
    for name, learns in (("fixed", False), ("learned", True)):
        student = nn.Conv2d(2, 4, kernel_size=1)
        optimizer = torch.optim.Adam([*student.parameters(), *learned.parameters()], lr=0.03)
        targets = []
        for _ in range(500):
            own = student(seen)
            target = learned(teacher) if learns else fixed(own, teacher)[1]
            targets.append(target.detach())
            optimizer.zero_grad()
            MSE()(own, target).backward()
            optimizer.step()
        first, last = (each.var((0, 2, 3)).mean() for each in (targets[0], targets[-1]))
        variance[name] = float(last / first)
        rank[name] = effective_rank(targets[-1])
    assert variance["fixed"] == 1 and rank["fixed"] > 3.5
    assert variance["learned"] < 1e-3
