"""A tiny dataset and the settings that train on it in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segdistill.data.phantom import make_phantom


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight synthetic patients, PET/CT."""
    out = tmp_path_factory.mktemp("phantom") / "data"
    return make_phantom(out, patients=8, size=(24, 24, 24), modalities=("CT", "PET"), difficulty=0.0)


@pytest.fixture(scope="session")
def tiny(phantom: Path) -> dict[str, Any]:
    """Sections of a recipe that runs in a second."""
    return {
        "data": {
            "path": str(phantom),
            "store": str(phantom.parent / "store"),
            "patch_size": [16, 16, 16],
            "batch_size": 4,
            "workers": 0,
            "splits": {"folds": 3},
        },
        "student": {"type": "unet", "channels": [4, 8]},
        "train": {"epochs": 3, "iterations": 2, "share_every": 1},
    }
