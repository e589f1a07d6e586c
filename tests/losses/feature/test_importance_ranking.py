from __future__ import annotations

import itertools
import math

import pytest
import torch

from segdistill.losses.feature.importance_ranking import ImportanceRanking, grid_within


def nodes_by_loops(
    feature: torch.Tensor, where: torch.Tensor, grid: list[int]
) -> tuple[list[float], list[float]]:
    """Importance and share of each node of one sample (channel, *space), `where` (*space)."""
    values, shares = [], []
    for node in itertools.product(*(range(side) for side in grid)):
        windows = [
            range(n * old // new, -(-(n + 1) * old // new))
            for n, old, new in zip(node, feature.shape[1:], grid, strict=True)
        ]
        total = weight = 0.0
        count = 0
        for place in itertools.product(*windows):
            energy = sum(float(channel[place]) ** 2 for channel in feature) / len(feature)
            total += float(where[place]) * energy
            weight += float(where[place])
            count += 1
        values.append(total / weight if weight else 0.0)
        shares.append(weight / count)
    square = sum(s * v * v for s, v in zip(shares, values, strict=True)) / sum(shares)
    return [v / math.sqrt(square) for v in values], shares


@pytest.mark.parametrize("temperature", [0.2, 1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("space, grid", [((5, 4), [3, 2]), ((3, 2, 4), [2, 2, 2])])
def test_against_loops(space: tuple[int, ...], grid: list[int], weighted: bool, temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(2, 3, *space, dtype=torch.float64, generator=generator)
    teacher = torch.randn(2, 5, *space, dtype=torch.float64, generator=generator)
    where = torch.ones(2, 1, *space, dtype=torch.float64)
    if weighted:
        where = torch.rand(2, 1, *space, dtype=torch.float64, generator=generator)
        where[:, :, :2, :2] = 0  # the first node has no voxel that counts
    samples = []
    for sample in range(2):
        own, _ = nodes_by_loops(student[sample], where[sample, 0], grid)
        other, shares = nodes_by_loops(teacher[sample], where[sample, 0], grid)
        counted = [node for node in range(len(own)) if shares[node] > 0]
        top = sorted(counted, key=lambda node: -other[node])[:4]
        total = weights = 0.0
        for i, j in itertools.product(top, top):
            if other[i] > other[j]:
                weights += shares[i] * shares[j]
                total += shares[i] * shares[j] * math.log(1 + math.exp(-(own[i] - own[j]) / temperature))
        samples.append(total / weights)
    loss = ImportanceRanking(tokens=8, top=4, temperature=temperature)
    assert float(loss(student, teacher, where if weighted else None)) == pytest.approx(
        sum(samples) / 2, rel=1e-9
    )


@pytest.mark.parametrize(
    "space, nodes, grid",
    [
        ((8, 8), 64, [8, 8]),
        ((9, 8), 64, [5, 8]),
        ((48, 48, 48), 64, [3, 3, 6]),
        ((1, 7, 9), 6, [1, 2, 3]),
        ((5, 5), 2, [1, 2]),
    ],
)
def test_grid_halves_the_longest_axis(space: tuple[int, ...], nodes: int, grid: list[int]) -> None:
    assert grid_within(space, nodes) == grid


def test_by_hand() -> None:
    """Energies 9 and 1 have the root mean square sqrt(41): one pair, in the right order and in the wrong one."""
    student, swapped = torch.tensor([[[[3.0, 1.0]]]]), torch.tensor([[[[1.0, 3.0]]]])
    gap = 8 / math.sqrt(41)
    assert float(ImportanceRanking()(student, student)) == pytest.approx(
        math.log(1 + math.exp(-gap)), rel=1e-6
    )
    assert float(ImportanceRanking()(student, swapped)) == pytest.approx(
        math.log(1 + math.exp(gap)), rel=1e-6
    )


def test_teacher_without_an_order_teaches_nothing() -> None:
    """Pooled constants differ by rounding alone, which is no order."""
    student = torch.randn(1, 2, 13, 11, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
    value = ImportanceRanking()(student, torch.full((1, 5, 13, 11, 9), 0.1))
    value.backward()
    assert value.item() == 0 and student.grad is not None and student.grad.abs().max() == 0


def test_descent_brings_the_teacher_s_order() -> None:
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(1, 4, 4, 4, generator=generator)
    student = torch.randn(1, 2, 4, 4, generator=generator).requires_grad_()
    optimizer = torch.optim.Adam([student], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        ImportanceRanking(temperature=0.1)(student, teacher).backward()
        optimizer.step()
    order = teacher.square().mean(1).flatten().argsort().tolist()
    assert student.square().mean(1).flatten().argsort().tolist() == order
