from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segdistill.networks import catch, name_stages, resolve, stage_names, stride_of
from segdistill.networks.stages import first_output


class Own(nn.Module):
    """A user's network, with no word about stages."""

    def __init__(self, output: str = "tensor") -> None:
        super().__init__()
        self.enc = nn.ModuleList([nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 2, stride=2)])
        self.tokens = nn.Linear(8, 8)
        self.dec = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.head = nn.Conv2d(4, 2, 1)
        self.never = nn.Conv2d(1, 1, 1)
        self.output = output

    def forward(self, image: Tensor) -> Any:
        x = self.enc[1](self.enc[0](image))
        x = self.tokens(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)
        logits = self.head(self.dec(x))
        return {"tensor": logits, "list": [logits, x], "dict": {"out": logits}, "text": "no"}[self.output]


def tokens_to_map(tokens: Tensor) -> Tensor:
    return tokens.transpose(1, 2).unflatten(2, (4, 4))


NAMES: dict[str, Any] = {
    "encoder/1": "enc.0",
    "encoder/2/conv": "enc.1",
    "encoder/2": ("tokens", tokens_to_map),
    "decoder/1": "dec",
}


@pytest.fixture
def network() -> nn.Module:
    return name_stages(Own(), NAMES)


def test_own_network_gets_names_without_being_touched(network: nn.Module) -> None:
    assert list(network.state_dict()) == list(Own().state_dict())
    assert stage_names(network) == (*NAMES, "logits", "encoder/deepest", "decoder/last")
    image = torch.randn(2, 1, 8, 8)
    with catch(network, [*NAMES, "logits", "encoder/deepest"]) as maps:
        logits = network(image)
    assert torch.equal(maps["logits"], logits)
    assert maps["encoder/2"].shape == (2, 8, 4, 4)
    assert maps["encoder/deepest"].shape == (2, 8, 4, 4)
    assert torch.equal(maps["encoder/1"], network.enc[0](image))
    assert torch.equal(network.head(maps["decoder/1"]), logits)


def test_a_network_without_names_has_its_logits() -> None:
    network = Own()
    assert stage_names(network) == ("logits",)
    with catch(network, ["logits"]) as maps:
        assert network(torch.randn(1, 1, 8, 8)) is maps["logits"]


@pytest.mark.parametrize("output", ["list", "dict"])
def test_logits_of_a_network_that_returns_more(output: str) -> None:
    network = Own(output)
    with catch(network, ["logits"]) as maps:
        network(torch.randn(1, 1, 8, 8))
    assert maps["logits"].shape == (1, 2, 8, 8)


def test_logits_of_a_network_that_returns_something_else() -> None:
    with pytest.raises(ValueError, match="got str"):
        first_output("no")


def test_maps_keep_their_gradient(network: nn.Module) -> None:
    with catch(network, ["encoder/1"]) as maps:
        network(torch.randn(1, 1, 8, 8))
    maps["encoder/1"].sum().backward()
    assert network.enc[0].weight.grad is not None
    assert network.head.weight.grad is None


def test_a_copy_catches_its_own_maps(network: nn.Module) -> None:
    copy = deepcopy(network)
    nn.init.zeros_(copy.enc[0].weight)
    nn.init.zeros_(copy.enc[0].bias)
    image = torch.randn(1, 1, 8, 8)
    with catch(copy, ["encoder/1"]) as copied, catch(network, ["encoder/1"]) as maps:
        copy(image)
        network(image)
    assert not copied["encoder/1"].any()
    assert maps["encoder/1"].any()


def test_hooks_sit_only_on_what_was_asked_for_and_leave_even_after_an_error(network: nn.Module) -> None:
    with pytest.raises(ZeroDivisionError), catch(network, ["encoder/1"]):
        assert {name for name, module in network.named_modules() if module._forward_hooks} == {"", "enc.0"}
        raise ZeroDivisionError
    assert not any(module._forward_hooks for module in network.modules())


def test_an_unknown_stage_is_refused_with_the_choices(network: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"no stage 'encoder/16'; it has: encoder/1, .*decoder/last"):
        with catch(network, ["encoder/16"]):
            pass


def test_a_stage_that_did_not_run_is_an_error() -> None:
    network = name_stages(Own(), {"encoder/4": "never"})
    with pytest.raises(ValueError, match="without its stage"):
        with catch(network, ["encoder/4"]):
            network(torch.randn(1, 1, 8, 8))


def test_a_stage_that_is_no_tensor_is_an_error() -> None:
    network = nn.Sequential(nn.LSTM(8, 8))
    name_stages(network, {"encoder/1": "0"})
    with pytest.raises(ValueError, match="returns tuple"):
        with catch(network, ["encoder/1"]):
            network(torch.randn(1, 4, 8))


@pytest.mark.parametrize("name", ["enc", "encoder", "encoder/", "encoder/x", "decoder/1/a/b", "middle/4"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no stage name"):
        name_stages(Own(), {name: "enc.0"})


def test_a_path_that_is_none_is_refused_with_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"no submodule 'enc\.7'; submodules of enc: enc.0, enc.1"):
        name_stages(Own(), {"encoder/1": "enc.7"})


def test_aliases_and_strides(network: nn.Module) -> None:
    assert resolve(network, "encoder/deepest") == "encoder/2"
    assert resolve(network, "decoder/last") == "decoder/1"
    assert [stride_of(n) for n in ("encoder/16/stage", "logits/4", "logits")] == [16, 4, 1]
