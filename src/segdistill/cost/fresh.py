"""A network measured in a process of its own: its latency, and the most memory that the process ever held.

    python -m segdistill.cost.fresh '{"part": {...}, "facts": {...}, ...}'

prints the measurement as JSON. In a process that did other work before, the peak would be that work's.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segdistill.cost.latency import Latency, measure
from segdistill.errors import SegdistillError
from segdistill.model import Facts, build_network


@dataclass(frozen=True)
class Measured:
    """Latency, and resident memory of a process that does nothing but this."""

    latency: Latency
    resident_bytes: int  # at its peak; on a CPU with the libraries, on a GPU the host's share alone
    device_bytes: int | None  # allocated on the GPU at its peak; None on a CPU


def measure_fresh(
    part: Mapping[str, Any], facts: Facts, name: str, *, repeats: int, device: str, threads: int | None = None
) -> Measured:
    """Build the network in a new process and time it there at batch 1, with random weights.

    Args:
        threads: of PyTorch; None: as many as it takes by itself.

    Raises:
        SegdistillError: the process failed; with the last line that it said.
    """
    asked = {"part": dict(part), "facts": asdict(facts), "name": name, "repeats": repeats, "device": device}
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    if threads is not None:
        environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-m", "segdistill.cost.fresh", json.dumps(asked)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    if done.returncode:
        said = done.stderr.strip().splitlines()
        killed = "it was stopped from outside, most likely for want of memory; try a smaller --size"
        told = said[-1].removeprefix("segdistill.errors.SegdistillError: ") if said else killed
        advice = (
            "; try a smaller --size, or --count-only" if "alloc" in told or "out of memory" in told else ""
        )
        raise SegdistillError(f"{name}: could not be measured: {told}{advice}")
    told = json.loads(done.stdout.splitlines()[-1])
    return Measured(
        Latency(**{**told["latency"], "input": tuple(told["latency"]["input"])}),
        told["resident_bytes"],
        told["device_bytes"],
    )


def main() -> None:
    """Measure what the first argument describes."""
    import torch

    from segdistill.device import choose_device

    asked = json.loads(sys.argv[1])
    facts = Facts(**{**asked["facts"], "image_size": tuple(asked["facts"]["image_size"])})
    place = choose_device(asked["device"])
    network = build_network(asked["part"], facts, asked["name"]).to(place)
    latency = measure(network, (facts.in_channels, *facts.image_size), repeats=asked["repeats"])
    on_device = torch.cuda.max_memory_allocated(place) if place.type == "cuda" else None
    told = {"latency": asdict(latency), "resident_bytes": peak_resident(), "device_bytes": on_device}
    sys.stdout.write(json.dumps(told) + "\n")


def peak_resident() -> int:
    """Bytes of memory that this process held at most."""
    try:
        # Not getrusage: on Linux its peak is inherited from the process that started this one.
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
