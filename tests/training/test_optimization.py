from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from segdistill.errors import SegdistillError
from segdistill.parts import build
from segdistill.training.optimization import (
    OPTIMIZERS,
    SCHEDULES,
    SGD,
    ConstantRate,
    CosineAnnealing,
    Poly,
)


def first_step(part: Any, weight: float, gradient: float, steps: int = 1) -> float:
    """Where one number is after steps with a constant gradient."""
    parameter = nn.Parameter(torch.tensor([weight], dtype=torch.float64))
    optimizer = build(OPTIMIZERS, part, "train.optimizer")([parameter])
    for _ in range(steps):
        parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step()
    return parameter.item()


def test_optimizers_do_as_their_papers_say() -> None:
    decayed = {"lr": 0.1, "weight_decay": 0.5}
    # The first step of Adam is lr * sign of the gradient; L2 decay is part of that gradient, decoupled decay is not.
    assert first_step({"type": "adam", **decayed}, 2.0, 0.01) == pytest.approx(2.0 - 0.1, abs=1e-6)
    assert first_step({"type": "adam", **decayed}, 2.0, -0.01) == pytest.approx(2.0 - 0.1, abs=1e-6)
    assert first_step({"type": "adamw", **decayed}, 2.0, -0.01) == pytest.approx(2.0 * 0.95 + 0.1, abs=1e-6)
    plain = {"type": "sgd", "lr": 0.1, "weight_decay": 0.5, "momentum": 0.0}
    assert first_step(plain, 2.0, 3.0) == pytest.approx(2.0 - 0.1 * (3.0 + 0.5 * 2.0))


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum(nesterov: bool) -> None:
    part = {"type": "sgd", "lr": 0.1, "weight_decay": 0.0, "momentum": 0.5, "nesterov": nesterov}
    weight, velocity = 0.0, 0.0
    for _ in range(3):
        velocity = 0.5 * velocity + 1.0
        weight -= 0.1 * (1.0 + 0.5 * velocity if nesterov else velocity)
    assert first_step(part, 0.0, 1.0, steps=3) == pytest.approx(weight)


def test_no_momentum_needs_no_other_word() -> None:
    """torch refuses Nesterov's momentum of 0."""
    assert SGD(momentum=0.0)([nn.Parameter(torch.ones(1))]).defaults["nesterov"] is False


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_takes_what_the_distiller_hands_it(name: str) -> None:
    model = nn.Linear(2, 2)
    optimizer = OPTIMIZERS[name]()(p for p in model.parameters() if p.requires_grad)
    assert [len(group["params"]) for group in optimizer.param_groups] == [2]


@pytest.mark.parametrize(
    "schedule, values",
    [
        (Poly(), {0: 1, 0.5: 0.5**0.9, 0.99: 0.01**0.9, 1: 0}),
        (Poly(2), {0: 1, 0.5: 0.25}),
        (CosineAnnealing(), {0: 1, 0.5: 0.5, 0.25: (1 + math.cos(math.pi / 4)) / 2, 1: 0}),
        (CosineAnnealing(floor=0.1), {0: 1, 0.5: 0.55, 1: 0.1}),
        (CosineAnnealing(warmup=0.2), {0: 1e-3, 0.1: 0.5, 0.2: 1, 0.6: 0.5, 1: 0}),
        (ConstantRate(), {0: 1, 0.7: 1}),
    ],
    ids=str,
)
def test_schedules(schedule: Any, values: dict[float, float]) -> None:
    assert [schedule(done) for done in values] == pytest.approx(list(values.values()), abs=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
@given(epochs=st.integers(1, 1000), data=st.data())
def test_a_rate_never_ends_before_training_does(name: str, epochs: int, data: st.DataObject) -> None:
    """The last epoch is one too: the rate of every epoch is above 0, and never above the one asked for."""
    epoch = data.draw(st.integers(0, epochs - 1))
    assert 0 < SCHEDULES[name]()(epoch / epochs) <= 1


@pytest.mark.parametrize(
    "part, told",
    [
        ({"type": "sgd", "lr": 0}, r"train\.optimizer\.lr: should be greater than 0, got 0"),
        ({"type": "adam", "betas": [0.9, 1.0]}, r"train\.optimizer\.betas\.1: should be less than 1"),
        ({"type": "adam", "betas": [0.9]}, r"train\.optimizer\.betas\.1: is required"),
        ({"type": "adamw", "momentum": 0.9}, r"train\.optimizer: 'momentum' is unknown"),
    ],
)
def test_settings_out_of_range(part: dict[str, Any], told: str) -> None:
    with pytest.raises(SegdistillError, match=told):
        build(OPTIMIZERS, part, "train.optimizer")
