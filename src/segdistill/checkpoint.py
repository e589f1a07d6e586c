"""Checkpoints: safetensors whose header carries, as JSON, what is not a tensor. Nothing is ever unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from segdistill.atomic import replacing
from segdistill.errors import SegdistillError


def save(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write tensors and JSON state into one file, wholly or not at all; one that has several names, once."""
    again = _further_names(tensors)
    plain = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in tensors.items()
        if name not in again
    }
    with replacing(path) as temporary:
        try:
            told = {"state": json.dumps(state), "further_names": json.dumps(again)}
            save_file(plain, str(temporary), metadata=told)
        except SafetensorError as error:  # its own kind also for a full disk
            raise OSError(str(error)) from error


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and JSON state of a checkpoint.

    Raises:
        SegdistillError: missing, damaged, or not a safetensors file (a pickle is refused, never loaded).
    """
    if not path.is_file():
        raise SegdistillError(
            f"{path}: no such checkpoint; the run has not finished an epoch, or it was deleted"
        )
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
            told = file.metadata() or {}
            for name, first in json.loads(told.get("further_names", "{}")).items():
                tensors[name] = tensors[first]
            return tensors, json.loads(told.get("state", "{}"))
    except (SafetensorError, ValueError, KeyError, OSError) as error:
        if _looks_pickled(path):
            raise SegdistillError(
                f"{path} is a pickle (a torch.save file), which can run code when it is read; it was not "
                "read. Checkpoints of segdistill are safetensors: convert the weights with "
                "safetensors.torch.save_file"
            ) from None
        raise SegdistillError(
            f"{path} is damaged or not a safetensors file ({error}); restore it or train again"
        ) from None


def _looks_pickled(path: Path) -> bool:
    """Whether a file that is no safetensors file begins like a zip archive or a pickle."""
    # Only asked then: the length with which a safetensors file begins may have these bytes too.
    with open(path, "rb") as file:
        start = file.read(2)
    return start == b"PK" or start[:1] == b"\x80"


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Put weights into a network.

    Raises:
        SegdistillError: they are of another architecture; the first differences are named.
    """
    own = network.state_dict()
    missing = sorted(own.keys() - tensors.keys())
    extra = sorted(tensors.keys() - own.keys())
    shapes = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own.keys() & tensors.keys()
        if own[name].shape != tensors[name].shape
    ]
    if missing or extra or shapes:
        found = [f"missing {', '.join(missing[:3])}"] * bool(missing)
        found += [f"unknown {', '.join(extra[:3])}"] * bool(extra)
        found += sorted(shapes)[:3]
        raise SegdistillError(
            f"{source} does not fit {type(network).__name__} ({'; '.join(found)}); "
            "it was made by another architecture or other settings: compare the recipes"
        )
    network.load_state_dict(dict(tensors))


def optimizer_tensors(optimizer: Any, prefix: str = "optimizer") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The optimizer's state as flat tensors, whose names begin with `prefix`, and JSON."""
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, Any] = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{prefix}.{index}.{name}"] = value
            else:
                scalars[f"{index}.{name}"] = value
    return tensors, {"groups": state["param_groups"], "scalars": scalars}


def restore_optimizer(
    optimizer: Any, tensors: Mapping[str, Tensor], state: Mapping[str, Any], prefix: str = "optimizer"
) -> None:
    """The reverse of `optimizer_tensors`."""
    restored: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        if key.startswith(f"{prefix}."):
            index, name = key.removeprefix(f"{prefix}.").split(".", 1)
            restored.setdefault(int(index), {})[name] = tensor
    for key, value in state["scalars"].items():
        index, name = key.split(".", 1)
        restored.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": restored, "param_groups": state["groups"]})


def _further_names(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Further names of a tensor that has several (in nnU-Net's networks) -> its first name."""
    first: dict[tuple[Any, ...], str] = {}
    again: dict[str, str] = {}
    for name, tensor in tensors.items():
        if tensor.numel():
            place = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
            if first.setdefault(place, name) != name:
                again[name] = first[place]
    return again
