"""The axial Transformer (MAT): attention along an axis, counts, image size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from segdistill.cost import count
from segdistill.networks import catch, stage_names
from segdistill.networks.axial_transformer import AxialTransformer
from segdistill.networks.blocks.axial_attention import AxialAttention

SMALL: dict[str, Any] = {"filters": 4, "heads": 2, "depths": (1, 1, 1)}


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def expected(channels: int, classes: int, size: tuple[int, ...], f: int = 32, heads: int = 8) -> int:
    """The authors' layers that run, added up."""

    def attention(width: int, length: int) -> int:
        norms = 2 * (2 * width) + 2 * (3 * heads) + 2 * (2 * width)
        return 2 * width * width + norms + 2 * (width // heads) * (2 * length - 1) + 4

    def block(inputs: int, width: int, stride: int, shortcut: bool) -> int:
        axial = sum(attention(width, length // stride) for length in size)
        ends = inputs * width + 2 * width + 2 * width * width + 4 * width
        return ends + axial + (2 * inputs * width + 4 * width if shortcut else 0)

    dims = len(size)
    stem = 7**dims * channels * f + 2 * f + 3**dims * (2 * f * 4 * f) + 8 * f + 2 * f
    stages = block(f, f, 4, True) + block(2 * f, 2 * f, 4, True) + block(4 * f, 2 * f, 8, False)
    stages += block(4 * f, 4 * f, 8, True) + 3 * block(8 * f, 4 * f, 16, False)
    pairs = [(8 * f, 8 * f), (8 * f, 4 * f), (4 * f, 2 * f), (2 * f, f), (f, f // 2)]
    decoder = sum(3**dims * a * b + b for a, b in pairs)
    return stem + stages + decoder + (f // 2 + 1) * classes


@pytest.mark.parametrize(
    ("channels", "classes", "size"), [(4, 4, (224, 224, 160)), (1, 2, (64, 96, 32)), (3, 2, (384, 384))]
)
def test_parameters(channels: int, classes: int, size: tuple[int, ...]) -> None:
    with torch.device("meta"):
        network = AxialTransformer(len(size), channels, classes, size)
    assert parameters(network) == expected(channels, classes, size)


def test_counts_at_the_authors_size() -> None:
    with torch.device("meta"):
        network = AxialTransformer(3, 4, 4, (224, 224, 160))
    counts = count(network, (4, 224, 224, 160))
    assert counts.parameters == 4_023_104
    assert counts.thop_parameters == 3_996_324
    assert counts.macs / 1e9 == pytest.approx(309.09, abs=0.01)


def test_attention_against_naive_loops() -> None:
    torch.manual_seed(0)
    width, heads, n, half, c = 8, 2, 3, 2, 4  # c values and half as many keys for each head
    attention = AxialAttention(width, heads, n, axis=1).eval()
    for norm in (attention.norm_qkv, attention.norm_scores, attention.norm_values):
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.uniform_(-1, 1)
    x = torch.randn(1, width, 2, n)

    def normed(norm: nn.Module, value: torch.Tensor, channel: int) -> torch.Tensor:
        return value / (1 + 1e-5) ** 0.5 * norm.weight[channel] + norm.bias[channel]  # type: ignore[index]

    answer = torch.zeros(1, width, 2, n)
    position = attention.positions
    a, b, gate_value, gate_place = attention.gates
    for row in range(2):
        qkv = torch.stack(
            [
                torch.stack([normed(attention.norm_qkv, y, k) for k, y in enumerate(column)])
                for column in (attention.qkv.weight[:, :, 0] @ x[0, :, row]).T
            ]
        )  # (n, 16)
        for h in range(heads):
            query, key, value = qkv[:, 8 * h : 8 * h + 8].split([half, half, c], dim=1)
            for i in range(n):
                scores = []
                for j in range(n):
                    there, back = position[:, i - j + n - 1], position[:, j - i + n - 1]
                    parts = [
                        query[i] @ key[j],
                        a * query[i] @ there[:half],
                        b * key[j] @ back[half : 2 * half],
                    ]
                    scores.append(
                        sum(normed(attention.norm_scores, p, k * heads + h) for k, p in enumerate(parts))
                    )
                shares = torch.stack(scores).softmax(0)  # type: ignore[arg-type]
                for k in range(c):
                    mixed = gate_value * sum(shares[j] * value[j, k] for j in range(n))
                    place = gate_place * sum(
                        shares[j] * position[2 * half + k, i - j + n - 1] for j in range(n)
                    )
                    channel = c * h + k
                    answer[0, channel, row, i] = normed(attention.norm_values, mixed, channel) + normed(
                        attention.norm_values, place, width + channel
                    )
    torch.testing.assert_close(attention(x), answer, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_voxel_hears_its_line_alone(axis: int) -> None:
    torch.manual_seed(0)
    size = (3, 4, 5)
    attention = AxialAttention(4, 2, size[axis], axis).eval()
    x = torch.randn(1, 4, *size)
    changed = x.clone()
    changed[0, :, 1, 2, 3] += 1
    with torch.no_grad():
        moved = (attention(x) != attention(changed)).any(1)[0].nonzero()
    other = [i for i in range(3) if i != axis]
    assert len(moved) == size[axis]
    assert (moved[:, other] == torch.tensor([1, 2, 3])[other]).all()


def test_deep_supervision_adds_outputs_at_lower_sizes() -> None:
    network = AxialTransformer(2, 1, 3, (64, 32), deep_supervision=True, **SMALL)
    image = torch.randn(1, 1, 64, 32)
    assert [tuple(head.shape) for head in network(image)] == [
        (1, 3, 64, 32),
        (1, 3, 32, 16),
        (1, 3, 16, 8),
        (1, 3, 8, 4),
    ]
    assert isinstance(network.eval()(image), torch.Tensor)


def test_stages() -> None:
    network = AxialTransformer(3, 1, 2, (64, 32, 32), **SMALL).eval()
    with torch.no_grad(), catch(network, stage_names(network)) as maps:
        network(torch.randn(1, 1, 64, 32, 32))
    assert {name: (tensor.shape[1], tensor.shape[2]) for name, tensor in maps.items()} == {
        "encoder/2": (4, 32),
        "encoder/4": (8, 16),
        "encoder/8": (16, 8),
        "encoder/16": (32, 4),
        "encoder/32": (32, 2),
        "decoder/16": (32, 4),
        "decoder/8": (16, 8),
        "decoder/4": (8, 16),
        "decoder/2": (4, 32),
        "decoder/1": (2, 64),
        "logits": (2, 64),
        "encoder/deepest": (32, 2),
        "decoder/last": (2, 64),
    }


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match=r"filters \(24\) must be divisible .* \(16\)"):
        AxialTransformer(2, 1, 2, (64, 64), filters=24)
    with pytest.raises(ValueError, match="64 x 64"):
        AxialTransformer(2, 1, 2, (64, 65))
    network = AxialTransformer(2, 1, 2, (64, 32), **SMALL)
    with pytest.raises(ValueError, match=r"built for images of 64 x 32"):
        network(torch.zeros(1, 1, 64, 64))
