"""Distil the heavy medical image segmentation models a group has into one that runs on the computer it has.

The same words as on the command line: `train`, `distill`, `evaluate`, `predict`, `Recipe`, `Distiller`, `Term`.
Names are loaded when they are first used, so that importing the package is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Distiller": "segdistill.distiller",
    "Recipe": "segdistill.recipe",
    "Run": "segdistill.run",
    "SegdistillError": "segdistill.errors",
    "Teacher": "segdistill.teachers.teacher",
    "Term": "segdistill.term",
    "distill": "segdistill.training.distill",
    "evaluate": "segdistill.evaluation.evaluate",
    "name_stages": "segdistill.networks.stages",
    "predict": "segdistill.evaluation.predict",
    "train": "segdistill.training.train",
}

__all__ = [
    "Distiller",
    "Recipe",
    "Run",
    "SegdistillError",
    "Teacher",
    "Term",
    "__version__",
    "distill",
    "evaluate",
    "name_stages",
    "predict",
    "train",
]

if TYPE_CHECKING:
    from segdistill.distiller import Distiller
    from segdistill.errors import SegdistillError
    from segdistill.evaluation.evaluate import evaluate
    from segdistill.evaluation.predict import predict
    from segdistill.networks.stages import name_stages
    from segdistill.recipe import Recipe
    from segdistill.run import Run
    from segdistill.teachers.teacher import Teacher
    from segdistill.term import Term
    from segdistill.training.distill import distill
    from segdistill.training.train import train


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'segdistill' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
