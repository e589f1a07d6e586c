"""Axial attention: each voxel attends to the voxels of its line along one axis, with gated learned positions."""

from __future__ import annotations

import torch
from torch import Tensor, cat, einsum, nn


class AxialAttention(nn.Module):
    """Medical Transformer's gated axial attention along spatial `axis`, whose length is fixed at `length`.

    For query i and key j of a line: softmax_j(norm(q_i.k_j) + norm(a q_i.r_ij) + norm(b k_j.s_ji)) weighs
    norm(c v_j) + norm(d t_ij), with r, s, t learned for each distance i - j, shared by the heads, and a, b, c, d the
    gates, learned as well. Queries and keys have half as many channels as values; the norms are batch norms.
    """

    index: Tensor

    def __init__(self, width: int, heads: int, length: int, axis: int) -> None:
        super().__init__()
        self.heads, self.axis, self.width = heads, axis, width
        head_width = width // heads
        self.split = [head_width // 2, head_width // 2, head_width]
        self.qkv = nn.Conv1d(width, 2 * width, 1, bias=False)
        self.norm_qkv = nn.BatchNorm1d(2 * width)
        self.norm_scores = nn.BatchNorm2d(3 * heads)
        self.norm_values = nn.BatchNorm1d(2 * width)
        self.positions = nn.Parameter(torch.randn(2 * head_width, 2 * length - 1) * head_width**-0.5)
        self.gates = nn.Parameter(torch.tensor([0.1, 0.1, 1.0, 0.1]))
        nn.init.normal_(self.qkv.weight, std=width**-0.5)
        places = torch.arange(length)
        self.register_buffer("index", places[:, None] - places + length - 1, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        lines = x.movedim(self.axis + 2, -1).movedim(1, -2)  # (B, *the other axes, C, length)
        outer = lines.shape[:-2]
        qkv = self.norm_qkv(self.qkv(lines.flatten(0, -3))).unflatten(1, (self.heads, -1))
        query, key, value = qkv.split(self.split, dim=2)  # each (lines, heads, channels, length)
        to_query, to_key, to_value = self.positions[:, self.index].split(self.split)
        gate_query, gate_key, gate_value, gate_place = self.gates.unbind()
        scores = cat(
            [
                einsum("bhci,bhcj->bhij", query, key),
                gate_query * einsum("bhci,cij->bhij", query, to_query),
                gate_key * einsum("bhcj,cji->bhij", key, to_key),
            ],
            dim=1,
        )
        shares = self.norm_scores(scores).unflatten(1, (3, self.heads)).sum(1).softmax(-1)
        mixed = torch.stack(
            [
                gate_value * einsum("bhij,bhcj->bhci", shares, value),
                gate_place * einsum("bhij,cij->bhci", shares, to_value),
            ],
            dim=1,
        )
        mixed = self.norm_values(mixed.flatten(1, 3)).unflatten(1, (2, self.width)).sum(1)
        return mixed.unflatten(0, outer).movedim(-2, 1).movedim(-1, self.axis + 2)
