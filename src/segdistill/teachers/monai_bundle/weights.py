"""The weights of a bundle."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segdistill import checkpoint
from segdistill.errors import SegdistillError
from segdistill.teachers.files.torchscript_archive import is_torchscript

INSIDE = ("model", "state_dict", "network", "net", "model_state_dict")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict, which may lie under a name such as `model` or `state_dict`.

    A pickle is read by PyTorch's reader of tensors alone, whatever is trusted: it runs no code of the file's.

    Raises:
        SegdistillError: the file is damaged, holds Python objects, is TorchScript, or has no state dict.
    """
    if path.suffix == ".safetensors":
        return checkpoint.load(path)[0]
    if is_torchscript(path):
        raise SegdistillError(
            f"{path} is TorchScript, a program with its weights; the state dict is needed: "
            "torch.save(torch.jit.load(FILE).state_dict(), 'models/model.pt') makes one"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise SegdistillError(
            f"{path} was not read: it holds Python objects, which could run code, and not only tensors "
            f"({_first_sentence(error)}). Weights are never unpickled, with --trust neither; save the state dict "
            "alone, as safetensors or by torch.save(network.state_dict(), ...)"
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise SegdistillError(f"{path} is damaged ({_first_sentence(error)}); download it again") from None
    return _state_dict(content, path)


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        inner = next((content[key] for key in INSIDE if isinstance(content.get(key), Mapping)), content)
        if inner and all(isinstance(value, Tensor) for value in inner.values()):
            # torch.nn.DataParallel puts this before all names
            wrapped = all(str(name).startswith("module.") for name in inner)
            return {str(name).removeprefix("module." * wrapped): value for name, value in inner.items()}
        found = f"a mapping with {', '.join(map(str, list(content)[:5])) or 'nothing'}"
    else:
        found = type(content).__name__
    raise SegdistillError(
        f"{path}: expected a state dict (names and tensors), alone or under one of {', '.join(INSIDE)}; found {found}"
    )


def _first_sentence(error: Exception) -> str:
    text = str(error)
    marked = text.find("WeightsUnpickler error:")
    return (text[marked:] if marked >= 0 else text or type(error).__name__).split("\n")[0].strip()[:200]
