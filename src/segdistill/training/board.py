"""Curves for TensorBoard, an extra."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segdistill.errors import SegdistillError
from segdistill.run import Run


class Board:
    """Writes losses and validation figures into RUN/tensorboard, if it is wanted.

    Raises:
        SegdistillError: it is wanted, and TensorBoard is not installed.
    """

    def __init__(self, run: Run, wanted: bool) -> None:
        self._writer: Any = None
        if wanted:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise SegdistillError(
                    "train.tensorboard: TensorBoard is not installed; pip install 'segdistill[tensorboard]'"
                ) from None
            self._writer = SummaryWriter(str(run.file("tensorboard")))

    def write(
        self, epoch: int, losses: Mapping[str, float], scores: Mapping[str, float | None] | None
    ) -> None:
        """Add an epoch."""
        if self._writer is None:
            return
        for name, value in losses.items():
            self._writer.add_scalar(f"loss/{name}", value, epoch)
        for name, score in (scores or {}).items():
            if score is not None:
                self._writer.add_scalar(f"validation/{name}", score, epoch)
        self._writer.flush()
