from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from segdistill.errors import SegdistillError
from segdistill.training.batches import batches


class Numbered:
    """Patches that tell their own number."""

    recordings: ClassVar[dict[str, None]] = {}

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        return {
            "image": np.full((1, 2, 2), number, np.float32),
            "label": np.full((1, 2, 2), number, np.int16),
        }


def stream(**settings: Any) -> list[list[int]]:
    """The sample numbers of each small batch."""
    whole: dict[str, Any] = {
        "batch": 4,
        "parts": 1,
        "rank": 0,
        "devices": 1,
        "first_step": 0,
        "steps": 5,
        "workers": 0,
    }
    found = []
    for small in batches(Numbered(), **(whole | settings)):  # type: ignore[arg-type]
        assert torch.equal(small["image"].long(), small["label"].long())
        assert small["image"].shape[1:] == (1, 2, 2)
        found.append([int(n) for n in small["image"][:, 0, 0, 0]])
    return found


def test_each_step_takes_the_next_samples() -> None:
    assert stream() == [list(range(4 * step, 4 * step + 4)) for step in range(5)]


@pytest.mark.parametrize("devices", [1, 2, 4])
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("first_step", [0, 3])
def test_steps_see_the_same_samples_however_they_are_shared(
    devices: int, parts: int, first_step: int
) -> None:
    wanted = [sorted(small) for small in stream(batch=8)][first_step:]
    shared: dict[str, Any] = {"batch": 8, "parts": parts, "devices": devices, "first_step": first_step}
    ranks = [stream(rank=rank, **shared) for rank in range(devices)]
    assert all(len(small) == 8 // devices // parts for rank in ranks for small in rank)
    steps = [
        sorted(n for rank in ranks for small in rank[parts * step : parts * (step + 1)] for n in small)
        for step in range(len(ranks[0]) // parts)
    ]
    assert steps == wanted


def test_a_resumed_run_goes_on_where_it_stopped() -> None:
    whole = stream()
    for first_step in range(6):
        assert stream(first_step=first_step) == whole[first_step:]


def test_workers_change_nothing() -> None:
    assert stream(workers=2, first_step=1) == stream(first_step=1)


def test_reading_ahead_draws_no_random_numbers_of_training() -> None:
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    iterator = iter(
        batches(Numbered(), batch=2, parts=1, rank=0, devices=1, first_step=0, steps=2, workers=0)
    )  # type: ignore[arg-type]
    next(iterator)
    torch.manual_seed(0)
    next(iterator)
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize(
    "batch, devices, parts, multiple", [(3, 2, 1, 2), (4, 1, 3, 3), (6, 2, 2, 4), (1, 2, 2, 4)]
)
def test_a_batch_that_cannot_be_shared_evenly(batch: int, devices: int, parts: int, multiple: int) -> None:
    told = (
        rf"data\.batch_size {batch} cannot be shared evenly by {devices} device.*use a multiple of {multiple}"
    )
    with pytest.raises(SegdistillError, match=told):
        stream(batch=batch, devices=devices, parts=parts)


class Recorded(Numbered):
    """Of which a teacher says the number, too."""

    recordings: ClassVar[dict[str, None]] = {"t": None}

    def __init__(self, damaged: int | None = None) -> None:
        self.damaged, self.asked = damaged, 0

    def told(self, numbers: list[int]) -> dict[str, dict[str, np.ndarray]]:
        if self.damaged in numbers:
            raise SegdistillError("damaged")
        self.asked += 1
        return {"t": {"logits": np.array(numbers, np.float16).reshape(-1, 1, 1, 1)}}


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_what_was_recorded_comes_with_its_samples(workers: int) -> None:
    whole: dict[str, Any] = {"batch": 4, "parts": 2, "rank": 1, "devices": 2, "first_step": 1, "steps": 9}
    found = list(batches(Recorded(), workers=workers, **whole))  # type: ignore[arg-type]
    assert len(found) == 16
    for small in found:
        assert torch.equal(small["told"]["t"]["logits"].float(), small["image"][:, :, :1, :1])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_recording_is_told_when_it_is_due(workers: int) -> None:
    stream = batches(
        Recorded(damaged=4), batch=2, parts=1, rank=0, devices=1, first_step=0, steps=9, workers=workers
    )  # type: ignore[arg-type]
    next(stream), next(stream)
    with pytest.raises(SegdistillError, match="damaged"):
        next(stream)


def test_a_little_is_read_ahead_and_nothing_after_the_end() -> None:
    patches = Recorded()
    stream = batches(patches, batch=2, parts=1, rank=0, devices=1, first_step=0, steps=99, workers=1)  # type: ignore[arg-type]
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert 1 <= patches.asked <= 3
