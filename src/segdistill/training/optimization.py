"""Optimizers and learning-rate schedules, as parts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class Adam:
    """Adam with L2 weight decay (the papers' choice)."""

    lr: Positive = 1e-3
    weight_decay: NonNegative = 0.0
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    amsgrad: bool = False

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(
            list(parameters), self.lr, self.betas, weight_decay=self.weight_decay, amsgrad=self.amsgrad
        )


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay."""

    lr: Positive = 1e-3
    weight_decay: NonNegative = 1e-4
    betas: tuple[Beta, Beta] = (0.9, 0.999)

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            list(parameters), lr=self.lr, weight_decay=self.weight_decay, betas=self.betas
        )


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum (nnU-Net's choice: lr 0.01, momentum 0.99, Nesterov)."""

    lr: Positive = 1e-2
    momentum: Beta = 0.99
    weight_decay: NonNegative = 3e-5
    nesterov: bool = True

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        nesterov = self.nesterov and self.momentum > 0  # torch refuses to look ahead without momentum
        return torch.optim.SGD(
            list(parameters),
            self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=nesterov,
        )


@dataclass(frozen=True)
class Poly:
    """lr * (1 - done)^power; `done` is the share of all epochs."""

    power: Positive = 0.9

    def __call__(self, done: float) -> float:
        return (1 - done) ** self.power


@dataclass(frozen=True)
class CosineAnnealing:
    """Half a cosine from lr to lr * floor, after a linear warm-up over the share `warmup` of all epochs."""

    floor: Annotated[float, Field(ge=0, le=1)] = 0.0
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def __call__(self, done: float) -> float:
        if done < self.warmup:
            return max(done / self.warmup, 1e-3)
        rest = (done - self.warmup) / (1 - self.warmup)
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * rest)) / 2


@dataclass(frozen=True)
class ConstantRate:
    """The same learning rate throughout."""

    def __call__(self, done: float) -> float:
        return 1.0


OPTIMIZERS: dict[str, type] = {"adam": Adam, "adamw": AdamW, "sgd": SGD}
SCHEDULES: dict[str, type] = {"poly": Poly, "cosine": CosineAnnealing, "constant": ConstantRate}
