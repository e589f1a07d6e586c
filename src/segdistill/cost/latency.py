"""Latency of a network: measured here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn

from segdistill.errors import SegdistillError


@dataclass(frozen=True)
class Latency:
    """Time of one forward pass, with what it depends on."""

    p50_ms: float
    p95_ms: float
    fastest_ms: float
    input: tuple[int, ...]  # (batch, channels, *space)
    repeats: int
    warm_up: int
    threads: int
    device: str
    precision: str
    backend: str


def measure(
    network: nn.Module,
    image_shape: Sequence[int],
    *,
    batch_size: int = 1,
    repeats: int = 20,
    warm_up: int = 3,
    device: str | torch.device | None = None,
    precision: torch.dtype = torch.float32,
) -> Latency:
    """Time forward passes of a batch of random images of (channels, *space) in this process.

    `device`: by default where the network is; it must already be there. The threads are torch's current ones
    (`torch.get_num_threads()`). `precision` other than float32 runs under autocast. Times are for the whole
    batch.

    With torch's eager CPU backend a small network's 3-D convolutions are much slower at batch size 1 than at
    2 or more (oneDNN is left out below a size), so compare at the batch size you will use, or time the
    exported model.
    """
    if repeats < 1 or warm_up < 0 or batch_size < 1:
        raise SegdistillError(
            "measure: repeats and batch_size must be at least 1 and warm_up at least 0; got "
            f"repeats={repeats}, batch_size={batch_size}, warm_up={warm_up}"
        )
    place = (
        torch.device(device) if device is not None else next((p.device for p in network.parameters()), None)
    )
    place = place or torch.device("cpu")
    image = torch.randn((batch_size, *image_shape), device=place)
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        autocast = torch.autocast(place.type, dtype=precision, enabled=precision != torch.float32)
        with torch.inference_mode(), autocast:
            for _ in range(warm_up):
                _run(network, image)
            times = sorted(_run(network, image) for _ in range(repeats))
    finally:
        for module, training in modes.items():
            module.training = training
    return Latency(
        p50_ms=median(times),
        p95_ms=_percentile(times, 0.95),
        fastest_ms=times[0],
        input=(batch_size, *image_shape),
        repeats=repeats,
        warm_up=warm_up,
        threads=torch.get_num_threads(),
        device=_device_name(place),
        precision=str(precision).removeprefix("torch."),
        backend=f"torch {torch.__version__} eager",
    )


def _run(network: nn.Module, image: Tensor) -> float:
    """Milliseconds of one forward pass; on a GPU, until it is done."""
    if image.is_cuda:
        torch.cuda.synchronize(image.device)
    start = perf_counter()
    network(image)
    if image.is_cuda:
        torch.cuda.synchronize(image.device)
    return (perf_counter() - start) * 1e3


def _percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: a time that was measured, not one in between."""
    return ordered[ceil(round(share * len(ordered), 6)) - 1]


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
