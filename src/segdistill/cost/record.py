"""The cost record of a run, a network or a preset: what cost.json holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from segdistill.atomic import write_json
from segdistill.cost.counting import count
from segdistill.cost.latency import measure
from segdistill.device import choose_device
from segdistill.errors import SegdistillError
from segdistill.model import Facts, architecture, build_network, facts_of
from segdistill.networks import NETWORKS, PRESETS
from segdistill.parts import unknown
from segdistill.run import Run, machine

Cost = dict[str, Any]
DEFAULT_SIZE = (64, 64, 64)
BYTES = 4  # of a float32 weight


def cost_of(
    target: str, size: tuple[int, ...] | None, channels: int, classes: int, repeats: int, device: str = "auto"
) -> Cost:
    """The cost of a network, preset or run, by name or folder.

    Args:
        size: voxels of the input; None: a run's own patch, else 64 x 64 x 64.
        channels, classes: of the network's ends; a run has its own.
        repeats: timed forward passes; 0 only counts, on the meta device.
        device: where they are timed.

    Raises:
        SegdistillError: no such thing, or a size that the network cannot take.
    """
    if Path(target).is_dir():
        run = Run.open(target)
        own = facts_of(run)
        spec = architecture(run)["part"]
        facts = Facts(own.spatial_dims, own.in_channels, own.out_channels, size or own.image_size)
    elif target in NETWORKS or target in PRESETS:
        spec = {"preset": target} if target in PRESETS else {"type": target}
        sides = size or DEFAULT_SIZE
        facts = Facts(len(sides), channels, classes, sides)
    else:
        raise SegdistillError(f"{target}: no such run folder, and {unknown(target, [*NETWORKS, *PRESETS])}")
    return record(build_network(spec, facts, target).to(choose_device(device)), facts, target, repeats)


def record(network: nn.Module, facts: Facts, name: str, repeats: int) -> Cost:
    """Count, and if `repeats` time, one network at batch 1, where it is.

    `peak_memory_mb` is the weights and the tensors alive at once in a forward pass, in float32: counted, so that it is
    the same on every machine; the process and its libraries come on top.
    """
    shape = (facts.in_channels, *facts.image_size)
    try:
        counts = count(network, shape)
        time = measure(network, shape, repeats=repeats) if repeats else None
    except (ValueError, RuntimeError) as error:
        raise SegdistillError(
            f"{name}: an input of {'x'.join(map(str, facts.image_size))} does not fit: {error}"
        ) from error
    return {
        "name": name,
        "parameters": counts.parameters,
        "macs": counts.macs,
        "thop_parameters": counts.thop_parameters,
        "thop_macs": counts.thop_macs,
        "input": list(shape),
        "latency_ms": time
        and {
            "median": time.median_ms,
            "p95": time.p95_ms,
            "fastest": time.fastest_ms,
            "threads": time.threads,
            "device": time.device,
            "backend": time.backend,
            "repeats": time.repeats,
        },
        "peak_memory_mb": (counts.parameters * BYTES + counts.activation_bytes) / 2**20,
        "machine": machine(),
    }


def keep_cost(run: Run, known: Cost | None = None, repeats: int = 10) -> Cost:
    """The run's cost.json; measured now where there is none.

    Args:
        known: the cost of an equal network, to be taken instead of measuring again.
    """
    file = run.file("cost.json")
    if file.is_file():
        return run.read_json("cost.json")
    cost = (known or cost_of(str(run.path), None, 0, 0, repeats)) | {"name": run.path.name}
    write_json(file, cost)
    return cost
