"""Weights out of nnU-Net's checkpoints, which are pickles, without running what a pickle may hold."""

from __future__ import annotations

import operator
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segdistill.errors import SegdistillError

REFUSED = re.compile(r"(?:GLOBAL|unrecognized function|but got) (?:<\w+ ')?([^\s'>]+)")
PREFIXES = ("_orig_mod.", "module.")  # of torch.compile, and of training on several devices
_core = np._core.multiarray  # type: ignore[attr-defined]  # where pickles of numpy look up their functions


# Beside tensors and plain data, nnU-Net's checkpoints hold numpy's numbers: losses and Dice of each epoch.
def _harmless() -> list[Any]:
    allowed: list[Any] = [np.ndarray, np.dtype]
    for name in ("scalar", "_reconstruct"):
        function = getattr(_core, name)
        allowed += [(function, f"{module}.multiarray.{name}") for module in ("numpy._core", "numpy.core")]
    kinds = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")
    return allowed + [type(np.dtype(kind)) for kind in kinds]


@dataclass(frozen=True)
class Checkpoint:
    """What is used of a checkpoint.

    Attributes:
        weights: nnU-Net's `network_weights`, without the prefixes of compiled or parallel networks.
        trainer: name of the trainer's class.
        configuration: the configuration that it was trained in, where it tells.
        mirroring: axes of the window along which answers may be averaged over flips.
    """

    weights: Mapping[str, Tensor]
    trainer: str
    configuration: str | None
    mirroring: tuple[int, ...]


def load(path: Path, *, trust: bool = False) -> Checkpoint:
    """Read a checkpoint.

    Args:
        trust: where it holds more than that, unpickle it all the same. This runs code that the file brings along.

    Raises:
        SegdistillError: it is damaged, no checkpoint of nnU-Net v2, or holds more than tensors, plain data and numpy's
            numbers; nothing of it has run then.
    """
    try:
        try:
            with torch.serialization.safe_globals(_harmless()):
                content = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            wanted = _refused(str(error))
            if wanted is None or not trust:
                raise SegdistillError(
                    f"{path} was not read: it is a pickle that asks for {wanted}, and a pickle can run any code with "
                    "your rights when it is read. If you know where the file comes from, --trust loads it all the same"
                    if wanted
                    else f"{path} {_damaged(error)}"
                ) from None
            content = torch.load(path, map_location="cpu", weights_only=False)
    except SegdistillError:
        raise
    except Exception as error:  # a damaged file raises almost anything
        raise SegdistillError(f"{path} {_damaged(error)}") from error
    if not isinstance(content, dict) or not isinstance(content.get("network_weights"), dict):
        raise SegdistillError(f"{path} is no checkpoint of nnU-Net v2: it has no network_weights")
    weights = content["network_weights"]
    if strange := [name for name, value in weights.items() if not isinstance(value, Tensor)]:
        raise SegdistillError(
            f"{path} is no checkpoint of nnU-Net v2: {strange[0]} of its network_weights is no tensor"
        )
    told = content.get("init_args")
    configuration = told.get("configuration") if isinstance(told, dict) else None
    return Checkpoint(
        {_plain(str(name)): tensor for name, tensor in weights.items()},
        str(content.get("trainer_name", "nnUNetTrainer")),
        configuration if isinstance(configuration, str) else None,
        _axes(content.get("inference_allowed_mirroring_axes"), path),
    )


def _axes(told: Any, path: Path) -> tuple[int, ...]:
    """Axes of the window; None: there are none."""
    axes: Any = () if told is None else told
    try:
        found = tuple(operator.index(axis) for axis in axes)
    except TypeError:
        found = (-1,)
    if not all(0 <= axis < 3 for axis in found):
        raise SegdistillError(
            f"{path} is no checkpoint of nnU-Net v2: inference_allowed_mirroring_axes {told!r} are no axes of a window"
        )
    return found


def _plain(name: str) -> str:
    while name.startswith(PREFIXES):
        name = name.removeprefix(PREFIXES[0]).removeprefix(PREFIXES[1])
    return name


def _refused(message: str) -> str | None:
    """The class or function that PyTorch's reader would not look up, out of what it said."""
    found = REFUSED.search(message)
    return found[1].rstrip(".,") if found else None


def _damaged(error: Exception) -> str:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return f"is damaged or no checkpoint ({reason}); copy it again"
