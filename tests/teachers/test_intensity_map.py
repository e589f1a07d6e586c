from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from segdistill.data.intensity import CT, MR, PET, RGB
from segdistill.data.plan import Channel
from segdistill.teachers.intensity_map import IntensityMap

OURS: dict[str, tuple[Any, dict[str, float], dict[str, float]]] = {
    "CT": (CT(), {"low": -900, "high": 400, "mean": 30, "std": 80}, {"low": -200, "high": 300, "mean": 50, "std": 40}),
    "PET": (PET(), {"mean": 0.9, "std": 1.5}, {"mean": 1.4, "std": 0.5}),
    "R": (RGB(), {"white": 255.0}, {"white": 65535.0}),
    "MR": (MR(), {}, {}),
}  # fmt: skip


def channels(which: int) -> list[Channel]:
    return [Channel(name, row[0], row[which]) for name, row in OURS.items()]


@pytest.mark.parametrize("space", [(5, 6), (4, 5, 3)])
def test_teacher_sees_what_its_own_preprocessing_makes(space: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    raw = {
        "CT": rng.uniform(-800, 390, space),
        "PET": rng.uniform(-1, 20, space),
        "R": rng.uniform(0, 255, space),
    }
    raw["MR"] = rng.normal(size=space)
    seen, expected = (
        torch.stack([
            torch.from_numpy(channel.intensity(raw[channel.name].astype(np.float32), channel.statistics))
            for channel in channels(which)
        ])
        for which in (1, 2)
    )  # fmt: skip
    made = IntensityMap.between(channels(1), channels(2))
    assert made is not None
    assert torch.allclose(made(seen[None])[0], expected, atol=1e-4)


def test_nothing_to_do_where_the_statistics_agree() -> None:
    assert IntensityMap.between(channels(1), channels(1)) is None
