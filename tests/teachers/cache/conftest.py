"""Entries of the cache in an empty folder, and what a teacher says of a case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from segdistill.teachers.cache.entry import Entry, MapSpec, Spec

SHAPE = (5, 6, 4)
MAPS = {"logits": MapSpec(2, (1, 1, 1)), "encoder/4/stage": MapSpec(3, (2, 4, 4))}


def made_spec(**changes: Any) -> Spec:
    given: dict[str, Any] = {"identity": "who", "images": "store", "maps": MAPS, "asked": {"overlap": 0.5}}
    return Spec(**(given | changes))


def made_answer(case: str) -> dict[str, Tensor]:
    """Values that tell the case."""
    rng = np.random.default_rng([ord(letter) for letter in case])
    return {
        name: torch.from_numpy(rng.normal(0, 5, (each.channels, *each.size(SHAPE))).astype(np.float32))
        for name, each in MAPS.items()
    }


@pytest.fixture
def spec() -> Callable[..., Spec]:
    """What decides an entry; fields of it may be changed."""
    return made_spec


@pytest.fixture
def answer() -> Callable[[str], dict[str, Tensor]]:
    """What a teacher says of a case."""
    return made_answer


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    """An entry that has begun in the store `store` of the test."""
    return Entry.at(tmp_path / "store", "big one", made_spec()).begin("big one", "runs/big")
