"""The fingerprint of a network: the same for the same answers, wherever it runs; another for any other."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segdistill.networks.stages import name_stages
from segdistill.networks.unet import UNet
from segdistill.teachers.identity import of_network, of_text

WINDOW = (16, 16)


class Net(nn.Module):
    """Two maps and logits, with a temperature that is no weight."""

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.norm.running_mean = torch.randn(4)
        self.out = nn.Conv2d(4, 3, 1)
        self.temperature = temperature
        name_stages(self, {"encoder/1": "first"})

    def forward(self, image: Tensor) -> Tensor:
        return self.out(self.norm(self.first(image)).relu()) / self.temperature


def identity(network: nn.Module, *stages: str, window: tuple[int, ...] = WINDOW) -> str:
    return of_network(network, 2, window, stages)


def test_the_same_network_has_the_same_one() -> None:
    network = Net()
    other = Net()
    other.load_state_dict(copy.deepcopy(network.state_dict()))
    assert len(identity(network)) == 32 and int(identity(network), 16)
    assert identity(network) == identity(other) == identity(copy.deepcopy(network)) == identity(network)
    assert identity(network.train()) == identity(network.eval())


def test_threads_do_not_matter() -> None:
    torch.manual_seed(0)
    network = UNet(2, 2, 3, channels=(8, 16, 32))
    before, found = torch.get_num_threads(), set()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.add(identity(network, "encoder/4", "decoder/1", window=(32, 32)))
    finally:
        torch.set_num_threads(before)
    assert len(found) == 1


def test_the_last_digits_do_not_matter() -> None:
    """Another machine computes in another order; answers whose values differ like that are the same."""

    class Shaken(Net):
        noise = 0.0

        def forward(self, image: Tensor) -> Tensor:
            answer = super().forward(image)
            return answer * (1 + self.noise * torch.randn(answer.shape))

    torch.manual_seed(1)
    network, found = Shaken(), set()
    for noise in (0.0, 1e-7, 3e-7):
        network.noise = noise
        found.add(identity(network))
    assert len(found) == 1


def weight(network: Any) -> None:
    with torch.no_grad():
        network.out.weight[0, 0, 0, 0] += 1e-4


def statistics(network: Any) -> None:
    network.norm.running_mean[1] += 0.01


def temperature(network: Any) -> None:
    network.temperature = 1.05


def forward(network: Any) -> None:
    network.forward = lambda image: network.out(network.norm(network.first(image)))


def channels(network: Any) -> None:
    network.forward = lambda image: Net.forward(network, image)[:, [0, 2, 1]]


def structure(network: Any) -> None:
    network.norm.eps = 1e-3


CHANGES = [weight, statistics, temperature, forward, channels, structure]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_whatever_changes_the_answer(change: Callable[[Any], None]) -> None:
    network, changed = Net(), Net()
    change(changed)
    assert identity(network) != identity(changed)


def test_a_stage_that_means_another_map() -> None:
    network, other = Net(), name_stages(Net(), {"encoder/1": "norm"})
    assert identity(network) == identity(other)
    assert identity(network, "encoder/1") != identity(other, "encoder/1")


class Function(nn.Module):
    def __init__(self, answer: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, image: Tensor) -> Tensor:
        return self.answer(image)


@pytest.mark.parametrize(
    "others",
    [
        (lambda image: image, lambda image: 2 * image, lambda image: image.flip(1)),
        # answers that do not look at the image, whose values do not spread at all, or hardly
        (
            lambda image: torch.full_like(image, 0.2),
            lambda image: torch.full_like(image, 0.3),
            lambda image: torch.zeros_like(image),
            lambda image: torch.full_like(image, 0.3) * (1 + image / 1000),
        ),
        (lambda image: image / 0, lambda image: image),
    ],
)
def test_functions_without_weights(others: tuple[Callable[[Tensor], Tensor], ...]) -> None:
    assert len({identity(Function(each)) for each in others}) == len(others)
    assert len({identity(Function(each)) for each in others for _ in range(2)}) == len(others)


def test_where_things_lie_in_memory_does_not_matter() -> None:
    class Told(Net):
        def extra_repr(self) -> str:
            return f"activation={self.activation}"

        def __init__(self) -> None:
            super().__init__()
            self.activation = lambda image: image

    first, second = Told(), Told()
    assert str(first) != str(second) and identity(first) == identity(second)


def test_looking_leaves_no_trace() -> None:
    network = Net().train()
    network.norm.eval()
    before = copy.deepcopy(network.state_dict())
    state = torch.get_rng_state()
    identity(network, "encoder/1")
    assert network.training and not network.norm.training
    assert all(torch.equal(before[name], each) for name, each in network.state_dict().items())
    assert not network.first._forward_hooks and all(p.grad is None for p in network.parameters())
    assert torch.equal(state, torch.get_rng_state()), "a seed that was set stays as it is"


def test_of_values() -> None:
    assert of_text("a", {"x": 1, "y": (2, None)}) == of_text("a", {"y": [2, None], "x": 1})
    assert of_text(Path("a")) == of_text("a")
    assert of_text(["a", "b"]) != of_text("a", "b") != of_text("ab")
