from __future__ import annotations

import pytest
import torch
from torch import nn

from segdistill.losses.feature.mse import MSE
from segdistill.projectors.alignment import Alignment


def two_layers(network: nn.Sequential, vector: list[float]) -> list[float]:
    for layer in (network[0], network[2]):
        rows, bias = layer.weight.tolist(), layer.bias.tolist()  # type: ignore[operator, union-attr]
        vector = [
            sum(w * v for w, v in zip(row, vector, strict=True)) + b
            for row, b in zip(rows, bias, strict=True)
        ]
        vector = [max(v, 0.0) for v in vector] if layer is network[0] else vector
    return vector


@pytest.mark.parametrize("widths", [(3, 5), (5, 3), (4, 4)])
@pytest.mark.parametrize("space", [(4, 5), (4, 3, 2)])
def test_against_loops(space: tuple[int, ...], widths: tuple[int, int]) -> None:
    part = Alignment(*widths, len(space), hidden=6, latent=2)
    student, teacher = torch.randn(2, widths[0], *space), torch.randn(2, widths[1], *space)
    for found, feature, network in zip(
        part(student, teacher), (student, teacher), (part.project, part.encode), strict=True
    ):
        assert found.shape == (2, 2, *[1] * len(space))
        for sample in range(2):
            pooled = [sum(c) / len(c) for c in feature[sample].flatten(1).tolist()]
            assert found[sample].flatten().tolist() == pytest.approx(two_layers(network, pooled), abs=1e-5)


def test_own_loss_gives_the_pooled_vector_back() -> None:
    torch.manual_seed(0)
    part = Alignment(3, 2, 2, hidden=4, latent=1)
    teacher = torch.randn(3, 2, 4, 4)
    pooled = [[sum(c) / len(c) for c in sample.flatten(1).tolist()] for sample in teacher]
    found = [two_layers(part.decode, two_layers(part.encode, vector)) for vector in pooled]
    values = [v for vector in pooled for v in vector]
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / len(values)
    errors = [(a - b) ** 2 for x, y in zip(found, pooled, strict=True) for a, b in zip(x, y, strict=True)]
    assert part.own_loss(teacher).item() == pytest.approx(sum(errors) / len(errors) / variance, rel=1e-4)


def test_does_not_collapse() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(16, 3, 2, 2), torch.randn(16, 6, 2, 2)
    part = Alignment(3, 6, 2)
    optimizer = torch.optim.Adam(part.parameters(), lr=0.003)
    spreads, errors = [], []
    for _ in range(150):
        own, other = part(student, teacher)
        error = part.own_loss(teacher)
        spreads.append(float(other.var(0).mean()))
        errors.append(error.item())
        optimizer.zero_grad()
        (MSE()(own, other) + error).backward()
        optimizer.step()
    assert spreads[-1] > 0.5 * spreads[0]
    assert errors[-1] < 0.2 * errors[0]
