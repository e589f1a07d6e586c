"""The cost record of a network: what `segdistill cost --json` prints and a run's cost.json holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import torch

from segdistill.atomic import write_json
from segdistill.cost.budget import choose
from segdistill.cost.counting import count
from segdistill.cost.fresh import Measured, measure_fresh
from segdistill.cost.latency import Latency, measure
from segdistill.cost.meta import WithoutMemory
from segdistill.cost.targets import Target
from segdistill.device import choose_device
from segdistill.errors import SegdistillError
from segdistill.model import architecture, build_network, facts_of, resolve_network
from segdistill.run import Run, machine

Cost = dict[str, Any]
MB = 2**20


def cost_of(target: Target, *, repeats: int, device: str = "auto", threads: int | None = None) -> Cost:
    """Count a network, and if `repeats` time it at batch 1 in a process of its own.

    Counting allocates neither weights nor activations.

    Raises:
        SegdistillError: a size that the network cannot take, or it cannot be run here.
    """
    name, part, facts = target.name, target.part, target.facts
    if not repeats and part.get("budget", {}).get("latency_ms") is not None:
        raise SegdistillError(f"{name}.budget.latency_ms: has to be measured; leave --count-only out")
    with _threads(threads):
        choice = choose(part, facts, name, device=device) if "budget" in part else None
    part = resolve_network(part, facts, name) if choice is None else choice.part
    cost = _counted(Target(name, part, facts))
    if choice is not None:
        cost["weighed"] = choice.told()
    if repeats:
        measured = measure_fresh(part, facts, name, repeats=repeats, device=device, threads=threads)
        cost |= _timed(measured.latency, measured)
    return cost


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """Within it PyTorch has so many threads; None: as many as it has."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_cost(run: Run, known: Cost | None = None, repeats: int = 10) -> Cost:
    """The run's cost.json; measured now, in this process, where there is none.

    Args:
        known: the cost of an equal network, to be taken instead of measuring again.
    """
    file = run.file("cost.json")
    if file.is_file():
        return run.read_json("cost.json")
    cost = known
    if cost is None:
        target = Target(run.path.name, architecture(run)["part"], facts_of(run))
        network = build_network(target.part, target.facts, target.name).to(choose_device("auto"))
        shape = (target.facts.in_channels, *target.facts.image_size)
        cost = _counted(target) | _timed(measure(network, shape, repeats=repeats))
    cost = cost | {"name": run.path.name}
    write_json(file, cost)
    return cost


def _counted(target: Target) -> Cost:
    """What can be told without running the network.

    `peak_memory_mb` is the weights and the tensors alive at once in a forward pass, in float32: counted, so that it is
    the same on every machine; the process and its libraries come on top (`resident_mb`).
    """
    shape = (target.facts.in_channels, *target.facts.image_size)
    with WithoutMemory():
        network = build_network(target.part, target.facts, target.name)
    try:
        counts = count(network, shape)
    except (ValueError, RuntimeError) as error:
        raise SegdistillError(
            f"{target.name}: an input of {' x '.join(map(str, shape[1:]))} does not fit: {error}"
        ) from error
    return {
        "name": target.name,
        "part": dict(target.part),
        "input": list(shape),
        "classes": target.facts.out_channels,
        "parameters": counts.parameters,
        "macs": counts.macs,
        "thop_parameters": counts.thop_parameters,
        "thop_macs": counts.thop_macs,
        "stages": [asdict(one) for one in counts.stages],
        "file_mb": counts.weight_bytes / MB,
        "activation_mb": counts.activation_bytes / MB,
        "peak_memory_mb": (counts.weight_bytes + counts.activation_bytes) / MB,
        "latency_ms": None,
        "resident_mb": None,
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _timed(latency: Latency, measured: Measured | None = None) -> Cost:
    found: Cost = {
        "latency_ms": {
            "p50": latency.p50_ms,
            "p95": latency.p95_ms,
            "fastest": latency.fastest_ms,
            "threads": latency.threads,
            "device": latency.device,
            "backend": latency.backend,
            "repeats": latency.repeats,
            "warm_up": latency.warm_up,
            "batch": latency.input[0],
        }
    }
    if measured is not None:
        found["resident_mb"] = measured.resident_bytes / MB
        if measured.device_bytes is not None:
            found["device_mb"] = measured.device_bytes / MB
    return found
