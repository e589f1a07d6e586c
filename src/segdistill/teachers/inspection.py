"""What a trained model is, as a teacher: what it sees, what it knows, and which stages it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segdistill.errors import SegdistillError
from segdistill.evaluation.sliding_window import evaluating
from segdistill.networks.naming import name_stages_by_shape
from segdistill.networks.stages import catch, first_output, resolve, stage_names
from segdistill.teachers.source import Source


@dataclass(frozen=True)
class StageRow:
    """One stage: its name, channels, and voxels of the input that one of its voxels covers along each axis."""

    name: str
    channels: int
    stride: tuple[int, ...]


@dataclass(frozen=True)
class Inspection:
    """What is known of a teacher; None where it does not say.

    Attributes:
        kind: its name in the table of sources.
        network: class of its network; None where it is none.
        by_shape: the stages were named by the sizes of its maps.
        trained_on: number of cases that it says it has learnt from.
    """

    kind: str
    network: str | None
    parameters: int | None
    channels: tuple[str, ...] | None
    classes: tuple[str, ...] | None
    regions: bool | None
    window: tuple[int, ...] | None
    score: float | None
    trained_on: int
    stages: tuple[StageRow, ...]
    by_shape: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def inspect(
    kind: str,
    model: Source | nn.Module,
    *,
    window: Sequence[int] | None = None,
    channels: int | None = None,
) -> Inspection:
    """Look at an opened teacher; its network runs once on an empty window.

    Args:
        window: voxels, where the model does not say.
        channels: image channels, where the model does not say.

    Raises:
        SegdistillError: it has a network, and a window or a number of channels that it needs is not known or does not
            fit.
    """
    network = model if isinstance(model, nn.Module) else model.network
    told = None if isinstance(model, nn.Module) else model
    own = getattr(network, "image_size", None) if told is None else told.window
    side = tuple(window or own or ()) or None
    count = channels or (len(told.channels) if told is not None and told.channels else None)
    count = count or getattr(network, "in_channels", None)
    rows: tuple[StageRow, ...] = ()
    by_shape = False
    if network is not None:
        if side is None or count is None:
            lacking = [word for word, value in (("--size", side), ("--channels", count)) if value is None]
            raise SegdistillError(
                f"the network does not say what it takes; give {' and '.join(lacking)}, for example --size 64,64,64 "
                "--channels 1"
            )
        example = torch.zeros(getattr(network, "batch_size", None) or 1, count, *side)
        by_shape = named_by_shape(network, example)
        rows = _rows(network, example)
    return Inspection(
        kind,
        None if network is None else type(network).__name__,
        None if network is None else sum(p.numel() for p in network.parameters()),
        None if told is None else told.channels,
        None if told is None else told.classes,
        None if told is None else told.regions,
        side,
        None if told is None else told.score,
        0 if told is None else len(told.trained_on),
        rows,
        by_shape,
    )


def named_by_shape(network: nn.Module, example: Tensor) -> bool:
    """Name the stages of a network that has named none, by the sizes of its maps; whether that was so.

    Nothing can look into TorchScript: such a network keeps its logits alone.

    Raises:
        SegdistillError: the network cannot run on the example.
    """
    closed = any(isinstance(module, torch.jit.ScriptModule) for module in network.modules())
    if closed or stage_names(network) != ("logits",):
        return False
    try:
        with evaluating(network):
            name_stages_by_shape(network, example)
    except (ValueError, RuntimeError) as error:
        raise SegdistillError(
            f"{type(network).__name__} cannot run on {list(example.shape[2:])} of {example.shape[1]} channels: {error}"
        ) from error
    return stage_names(network) != ("logits",)


def _rows(network: nn.Module, example: Tensor) -> tuple[StageRow, ...]:
    names = [name for name in stage_names(network) if name != "logits"]
    try:
        with evaluating(network), torch.no_grad(), catch(network, names) as maps:
            logits = first_output(network(example))
    except (ValueError, RuntimeError) as error:
        raise SegdistillError(
            f"{type(network).__name__} cannot run on {list(example.shape[2:])} of {example.shape[1]} channels: {error}"
        ) from error
    found = {**{name: maps[name] for name in names}, "logits": logits}
    rows = []
    for name, each in found.items():
        same = resolve(network, name)
        told = name if same == name else f"{name} = {same}"
        stride = tuple(round(n / m) for n, m in zip(example.shape[2:], each.shape[2:], strict=True))
        rows.append(StageRow(told, int(each.shape[1]), stride))
    return tuple(rows)
