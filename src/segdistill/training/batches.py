"""The stream of training batches: the same whatever the number of devices, workers or interruptions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from segdistill.data.patches import Patches
from segdistill.errors import SegdistillError
from segdistill.training.ahead import ahead


class _Numbers(Sequence[int]):
    """Sample numbers of one device: its share of every global batch, in order, from `first_step` on."""

    def __init__(self, batch: int, share: int, rank: int, first_step: int, steps: int) -> None:
        self.batch, self.share, self.rank = batch, share, rank
        self.first_step, self.steps = first_step, steps

    def __len__(self) -> int:
        return (self.steps - self.first_step) * self.share

    def __getitem__(self, index: int) -> int:  # type: ignore[override]
        if not 0 <= index < len(self):
            raise IndexError(index)
        step, place = divmod(index, self.share)
        return (self.first_step + step) * self.batch + self.rank * self.share + place


def batches(
    patches: Patches,
    *,
    batch: int,
    parts: int,
    rank: int,
    devices: int,
    first_step: int,
    steps: int,
    workers: int,
) -> Iterator[dict[str, Any]]:
    """Yield `parts` small batches for each step from `first_step` to `steps`.

    Sample n of step s is sample `s * batch + n` of the patches, so a resumed run goes on with what comes next.

    Images and labels are cut and augmented by processes. What was recorded of teachers is many times as large and only
    has to be copied: threads of this process do that, so that it need not be handed over.

    Args:
        batch: samples in a step, over all devices and parts.
        workers: processes that cut patches, and threads that read recordings; 0 does both when they are due.
        parts: small batches that one device makes of its share.

    Raises:
        SegdistillError: the batch cannot be shared evenly.
    """
    if batch % (devices * parts):
        raise SegdistillError(
            f"data.batch_size {batch} cannot be shared evenly by {devices} device(s) x train.accumulate {parts}; "
            f"use a multiple of {devices * parts}"
        )
    share = batch // devices
    small, on_gpu = share // parts, torch.cuda.is_available()
    numbers = _Numbers(batch, share, rank, first_step, steps)
    loader: DataLoader[dict[str, Tensor]] = DataLoader(
        patches,  # type: ignore[arg-type]  # a numbered source without a length
        batch_size=small,
        sampler=numbers,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=on_gpu,
    )
    if not patches.recordings:
        yield from loader
        return

    def told(first: int) -> dict[str, dict[str, Tensor]]:
        found = patches.told([numbers[first + place] for place in range(small)])
        return {
            teacher: {stage: _tensor(each, pinned=on_gpu) for stage, each in maps.items()}
            for teacher, maps in found.items()
        }

    # The loader first: its processes are forked before there are threads.
    for sample, said in zip(loader, ahead(told, range(0, len(numbers), small), workers), strict=True):
        yield sample | {"told": said}


def _tensor(array: np.ndarray, *, pinned: bool) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.pin_memory() if pinned else tensor
