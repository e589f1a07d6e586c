"""The moving average of the student's weights, as a teacher."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Average:
    """weights <- m weights + (1 - m) student, after every step (Tarvainen and Valpola, 2017, arXiv:1703.01780).

    Attributes:
        momentum: m at the beginning, in [0, 1].
        final: m at the end, reached along half a cosine (DINO, DISTL: 1); None: m stays.
    """

    momentum: float = 0.999
    final: float | None = None

    def at(self, done: float) -> float:
        """m when the share `done` of the training is over."""
        if self.final is None:
            return self.momentum
        return self.final + (self.momentum - self.final) * (1 + math.cos(math.pi * min(done, 1.0))) / 2

    @torch.no_grad()
    def follow(self, network: nn.Module, student: nn.Module, done: float) -> None:
        """Move the weights of `network` towards the student's; counts and statistics are copied."""
        momentum = self.at(done)
        for own, other in zip(network.parameters(), student.parameters(), strict=True):
            own.lerp_(other, 1 - momentum)
        for mine, its in zip(network.buffers(), student.buffers(), strict=True):
            mine.copy_(its)
