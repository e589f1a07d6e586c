from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from segdistill import checkpoint
from segdistill.errors import SegdistillError
from segdistill.parts import build
from segdistill.training.optimization import OPTIMIZERS

STATE = {"epoch": 3, "best": 0.1 + 0.2, "who": "jemand über 60", "none": None, "list": [1, 2]}


def network(width: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.Conv2d(width, 2, 1))


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    tensors = {
        "a": torch.randn(2, 3), "scalar": torch.tensor(7), "half": torch.randn(3).bfloat16(),
        "turned": torch.randn(3, 2).T, "empty": torch.zeros(0, 3),
    }  # fmt: skip
    tensors["tied"] = tensors["a"]  # two names of one memory
    checkpoint.save(tmp_path / "c.safetensors", tensors, STATE)
    loaded, state = checkpoint.load(tmp_path / "c.safetensors")
    assert state == STATE
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    assert all(loaded[name].dtype == tensors[name].dtype for name in tensors)


def test_a_failed_save_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, {"a": torch.ones(2)}, {})
    with pytest.raises(TypeError):
        checkpoint.save(path, {"a": torch.zeros(2)}, {"no JSON": object()})
    assert torch.equal(checkpoint.load(path)[0]["a"], torch.ones(2))
    assert [file.name for file in tmp_path.iterdir()] == ["c.safetensors"]


class Bomb:
    """What runs when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("kind", ["torch", "torch before 1.6", "pickle 2", "pickle 4", "pickle 5"])
def test_a_pickle_is_refused_and_nothing_in_it_runs(kind: str, tmp_path: Path) -> None:
    path, marker = tmp_path / "weights.safetensors", tmp_path / "marker"
    content = {"weight": torch.ones(2), "bomb": Bomb(marker)}
    if kind.startswith("torch"):
        torch.save(content, path, _use_new_zipfile_serialization=kind == "torch")
    else:
        path.write_bytes(pickle.dumps(content, protocol=int(kind[-1])))
    with pytest.raises(SegdistillError, match=r"weights\.safetensors is a pickle .*not read.*safetensors"):
        checkpoint.load(path)
    assert not marker.exists()


@pytest.mark.parametrize("start", [b"\x80", b"PK"])
def test_a_checkpoint_whose_first_bytes_are_those_of_a_pickle_is_read(start: bytes, tmp_path: Path) -> None:
    """A safetensors file begins with the length of its header, so any bytes can come first."""
    path, length = tmp_path / "c.safetensors", 0
    while True:
        checkpoint.save(path, {"a": torch.ones(2)}, {"filler": "x" * length})
        first = path.read_bytes()[:2]
        if first.startswith(start):
            break
        here, wanted = int.from_bytes(first, "little"), int.from_bytes(start, "little")
        length += (wanted - here) % 256 ** len(start)
    assert checkpoint.load(path)[1] == {"filler": "x" * length}


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:4],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: b"\xff" * 8 + whole[8:],
        lambda whole: whole[:8] + b"?" + whole[9:],
        lambda whole: b"no checkpoint at all",
    ],
)
def test_a_damaged_file(damage: Any, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, network().state_dict(), STATE)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SegdistillError, match=r"c\.safetensors is damaged or not a safetensors file"):
        checkpoint.load(path)


def test_a_state_that_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_file({"a": torch.ones(2)}, path, metadata={"state": "{"})
    with pytest.raises(SegdistillError, match="damaged"):
        checkpoint.load(path)


def test_a_file_of_another_program_has_no_state(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "c.safetensors")
    assert checkpoint.load(tmp_path / "c.safetensors")[1] == {}


@pytest.mark.parametrize("path", ["missing.safetensors", "."])
def test_a_file_that_is_not_there(path: str, tmp_path: Path) -> None:
    with pytest.raises(SegdistillError, match="no such checkpoint; the run has not finished an epoch"):
        checkpoint.load(tmp_path / path)


def test_weights_of_another_architecture_are_told_by_name() -> None:
    narrow, wide, source = network(), network(5), Path("runs/a/best.safetensors")
    with pytest.raises(SegdistillError) as error:
        checkpoint.load_weights(narrow, wide.state_dict(), source)
    told = str(error.value)
    assert told.startswith("runs/a/best.safetensors does not fit Sequential (0.bias (5,) instead of (3,); ")
    assert "another architecture or other settings" in told
    fewer = {name: t for name, t in narrow.state_dict().items() if not name.startswith("2.")}
    with pytest.raises(SegdistillError, match=r"\(missing 2\.bias, 2\.weight; unknown 9\.bias\)"):
        checkpoint.load_weights(narrow, fewer | {"9.bias": torch.ones(1)}, source)
    assert all(torch.equal(t, network().state_dict()[name]) for name, t in narrow.state_dict().items())


def test_weights_that_fit() -> None:
    trained, fresh = network(), network()
    with torch.no_grad():
        for tensor in trained.state_dict().values():
            tensor += 1
    checkpoint.load_weights(fresh, trained.state_dict(), Path("c"))
    assert all(torch.equal(t, trained.state_dict()[name]) for name, t in fresh.state_dict().items())


@pytest.mark.parametrize(
    "part",
    [{"type": "adam", "amsgrad": True}, {"type": "adamw"}, {"type": "sgd"}, {"type": "sgd", "momentum": 0.0}],
    ids=str,
)
def test_an_optimizer_goes_on_as_if_nothing_had_happened(part: dict[str, Any], tmp_path: Path) -> None:
    def step(model: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
        generator = torch.Generator().manual_seed(number)
        optimizer.zero_grad()
        model(torch.randn(2, 1, 6, 6, generator=generator)).square().mean().backward()
        optimizer.param_groups[0]["lr"] = 1e-3 / (1 + number)
        optimizer.step()

    model, other = network(), network()
    optimizer = build(OPTIMIZERS, part, "train.optimizer")(model.parameters())
    for number in range(3):
        step(model, optimizer, number)
    tensors, scalars = checkpoint.optimizer_tensors(optimizer)
    checkpoint.save(
        tmp_path / "c", {f"model.{n}": t for n, t in model.state_dict().items()} | tensors, scalars
    )

    loaded, state = checkpoint.load(tmp_path / "c")
    checkpoint.load_weights(
        other, {n[6:]: t for n, t in loaded.items() if n.startswith("model.")}, tmp_path / "c"
    )
    resumed = build(OPTIMIZERS, part, "train.optimizer")(other.parameters())
    checkpoint.restore_optimizer(resumed, loaded, state)
    for number in range(3, 6):
        step(model, optimizer, number)
        step(other, resumed, number)
    assert all(torch.equal(t, model.state_dict()[name]) for name, t in other.state_dict().items())
    assert json.dumps(scalars)
