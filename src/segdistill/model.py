"""A network made for some data: from a recipe's words, or with its weights from a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from segdistill import checkpoint
from segdistill.errors import SegdistillError
from segdistill.network_part import own_settings, scaled
from segdistill.networks import NETWORKS, expand_preset
from segdistill.networks.sizes import along_axes
from segdistill.parts import build, complete
from segdistill.run import Run

BEST = "checkpoints/best.safetensors"
LAST = "checkpoints/last.safetensors"


@dataclass(frozen=True)
class Facts:
    """What a network must know of the data.

    Attributes:
        spatial_dims: 2 or 3; 2 where volumes are read as slices.
        in_channels: image channels.
        out_channels: classes with background, or overlapping regions.
        image_size: voxels of a patch along each axis.
    """

    spatial_dims: int
    in_channels: int
    out_channels: int
    image_size: tuple[int, ...]


def resolve_network(spec: Mapping[str, Any], facts: Facts, place: str) -> dict[str, Any]:
    """Turn `{preset: NAME}` into the part it stands for in 2-D or 3-D, with every default; `inputs` stays.

    Raises:
        SegdistillError: unknown settings, or a preset that is for the other number of dimensions.
    """
    own = own_settings(spec)
    if "preset" in own:
        rest = {key: value for key, value in own.items() if key != "preset"}
        try:
            own = {**expand_preset(str(own["preset"]), facts.spatial_dims), **rest}
        except ValueError as error:
            raise SegdistillError(f"{place}.preset: {error}") from None
    settings = complete(NETWORKS, own, place)
    if "width" in spec:
        settings = scaled(settings, spec["width"], place)
    return settings | ({"inputs": list(spec["inputs"])} if "inputs" in spec else {})


def multiple_of(spec: Mapping[str, Any], facts: Facts, place: str) -> tuple[int, ...]:
    """Of which numbers the sides of images are multiples, for the network that a part describes."""
    settings = resolve_network(spec, facts, place)
    return along_axes(NETWORKS[settings["type"]].multiple(settings), facts.spatial_dims)


def build_network(spec: Mapping[str, Any], facts: Facts, place: str) -> nn.Module:
    """Make the network that a part describes.

    Raises:
        SegdistillError: unknown settings, or a patch size that the network cannot take.
    """
    given = {
        "spatial_dims": facts.spatial_dims,
        "in_channels": facts.in_channels,
        "out_channels": facts.out_channels,
    }
    part = own_settings(resolve_network(spec, facts, place))
    return build(NETWORKS, part, place, **given, image_size=facts.image_size)


def architecture(run: Run) -> dict[str, Any]:
    """The record of a run's network in run.json, as `describe` made it.

    Raises:
        SegdistillError: the run was stopped before it had a network.
    """
    found = run.info.get("architecture")
    if not isinstance(found, dict):
        raise SegdistillError(
            f"{run.file('run.json')} names no network: the run was stopped before training began; go on with it "
            "by the command that began it and --resume"
        )
    return found


def facts_of(run: Run) -> Facts:
    """The data facts that a run's network was made for."""
    facts = architecture(run)["facts"]
    return Facts(**{**facts, "image_size": tuple(facts["image_size"])})


def load_network(run: Run, which: str = BEST, *, network: nn.Module | None = None) -> nn.Module:
    """The student of a run with its weights, in eval mode.

    Args:
        network: where the run trained a module of the caller's own: such a module, to put the weights in.

    Raises:
        SegdistillError: no checkpoint, or one of another architecture.
    """
    spec = architecture(run)["part"]
    if network is None and spec["type"] == "python":
        raise SegdistillError(
            f"{run.path} trained a network of your own ({spec['class']}): give it in Python, "
            "segdistill.evaluate(run, network=...) or segdistill.predict(..., network=...)"
        )
    if network is None:
        network = build_network(spec, facts_of(run), f"{run.path}: student")
    tensors, _ = checkpoint.load(run.file(which))
    student = {
        n.removeprefix("distiller.student."): t
        for n, t in tensors.items()
        if n.startswith("distiller.student.")
    }
    checkpoint.load_weights(network, student or tensors, run.file(which))
    return network.eval()


def describe(network: nn.Module, part: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """The network's record (`architecture`) in run.json."""
    return {
        "part": dict(part),
        "facts": asdict(facts),
        "parameters": sum(p.numel() for p in network.parameters()),
    }
