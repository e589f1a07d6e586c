from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from segdistill.study.definition import Study, load

TINY: dict[str, Any] = {
    "name": "tiny",
    "phantom": {"patients": 4, "size": [16, 16, 16]},
    "settings": {
        "data": {
            "patch_size": [8, 8, 8], "workers": 0, "augmentation": {"affine": 0},
            "splits": {"test": 0.25, "folds": 3}, "spacing": None,
        },
        "train": {"epochs": 2, "iterations": 1},
        "student": {"type": "unet", "channels": [2, 4]},
    },
    "groups": {
        "teacher": {"recipe": "student_alone", "settings": {"student": {"channels": [3, 4]}}, "seeds": [0]},
        "alone": {"recipe": "student_alone"},
        "taught": {"recipe": "hinton", "teachers": {"teacher": "teacher"}},
    },
}  # fmt: skip
"""Two students and their teacher, each trained in a moment."""


@pytest.fixture(scope="session")
def study() -> Callable[..., Study]:
    """A study of tiny runs with other keys laid over it."""
    from segdistill.composition import merge

    def make(**over: Any) -> Study:
        return load(merge(TINY, over))

    return make
