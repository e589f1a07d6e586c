"""The pages about teachers, followed as a newcomer would: all of their commands, one after the other, in one folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
FEW = ("data.workers=0", "train.epochs=1", "train.iterations=2")
"""Said after the words of a page, so that a training is short."""
SARCOMA, HIPPOCAMPUS, SPLEEN = "Dataset101_Sarcoma", "Dataset004_Hippocampus", "Dataset009_Spleen"
NNUNET = "nnUNetTrainer__nnUNetPlans__3d_fullres"
Command = Callable[..., Any]
Desk = Callable[..., Path]
