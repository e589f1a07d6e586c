"""An opened folder of soft predictions: answers read from files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn

from segdistill.digests import of_file
from segdistill.errors import SegdistillError
from segdistill.teachers.soft_predictions import formats
from segdistill.teachers.soft_predictions.formats import SoftMap, Values
from segdistill.teachers.soft_predictions.probabilities import logits_of_classes, logits_of_regions
from segdistill.teachers.source import Answer, Asking, CaseImage

SUM_TOLERANCE = 0.02  # half precision and resampling leave sums this far from 1


@dataclass(frozen=True)
class SoftFolder:
    """An opened folder of soft predictions: a `Source` whose answers are files, with the stage `logits` alone.

    Attributes:
        path: the folder.
        files: by case.
        classes: as in `Source`.
        regions: as in `Source`.
        values: what the files hold, where that was said.
        turned: nnU-Net turned the images to RAS.
    """

    path: Path
    files: Mapping[str, Path]
    classes: tuple[str, ...] | None
    regions: bool
    values: Values | None
    turned: bool
    channels: tuple[str, ...] | None = field(default=None, init=False)
    network: nn.Module | None = field(default=None, init=False)
    trained_on: tuple[str, ...] = field(default=(), init=False)
    score: float | None = field(default=None, init=False)
    window: tuple[int, ...] | None = field(default=None, init=False)

    def identity(self) -> str:
        """Hexadecimal digits of the contents of all files, by name, and of how they are read."""
        return self._identity

    @cached_property
    def _identity(self) -> str:
        settings = [self.classes, self.regions, self.values, self.turned]
        digest = hashlib.blake2b(json.dumps(settings).encode(), digest_size=16)
        for case, file in sorted(self.files.items()):
            digest.update(json.dumps([case, file.name, of_file(file)]).encode())
        return digest.hexdigest()

    def answer(self, case: CaseImage, stages: Sequence[str], asking: Asking) -> Answer:
        """The logits of one case, on the grid of its image; `asking` changes nothing.

        Raises:
            SegdistillError: no file for the case, another grid, another number of classes, values that are not what
                they should be, or a stage other than `logits`.
        """
        if more := [stage for stage in stages if stage != "logits"]:
            raise SegdistillError(
                f"{self.path} holds predictions and no network: it has no stage {more[0]!r}; it has: logits"
            )
        file = self.files.get(case.id)
        if file is None:
            there = sorted(self.files)
            more_of = f" and {len(there) - 5} more" if len(there) > 5 else ""
            raise SegdistillError(
                f"{self.path} has no soft prediction for the case {case.id!r}; it has: "
                f"{', '.join(there[:5])}{more_of}. Predict that case too, or name the files after the cases"
            )
        logits = self._logits(formats.read(file, case.geometry, turned=self.turned), file)
        space = len(case.geometry.shape)
        return Answer({"logits": torch.from_numpy(logits)}, {"logits": (1,) * space}, np.eye(space + 1))

    def _logits(self, found: SoftMap, file: Path) -> np.ndarray:
        values = found.values
        self._check_count(len(values), file)
        if not np.isfinite(values).all():
            raise SegdistillError(f"{file} holds NaN or infinity; write it again")
        if self._kind(found, file) == "logits":
            return values
        low, high = float(values.min()), float(values.max())
        if low < -1e-3 or high > 1 + 1e-3:
            raise SegdistillError(
                f"{file} should hold probabilities, and has values from {low:.3g} to {high:.3g}; write "
                "`values: logits` if they are logits"
            )
        if self.regions:
            return logits_of_regions(values)
        return logits_of_classes(_summing_to_one(values, file))

    def _check_count(self, count: int, file: Path) -> None:
        if self.classes is not None and count != len(self.classes) + (not self.regions):
            told = f"{', '.join(self.classes)}" if self.regions else f"background, {', '.join(self.classes)}"
            raise SegdistillError(
                f"{file} holds {count} channels for {len(self.classes) + (not self.regions)} "
                f"{'regions' if self.regions else 'classes'} ({told}); mend `classes` or `overlapping` of its source"
            )
        if self.classes is None and count < 2 and not self.regions:
            raise SegdistillError(
                f"{file} holds one channel; exclusive classes have one for the background too. Write "
                "`overlapping: true` if it is a region"
            )

    def _kind(self, found: SoftMap, file: Path) -> Values:
        if self.values is not None and found.kind is not None and self.values != found.kind:
            raise SegdistillError(
                f"{file} says itself that it holds {found.kind}; leave `values: {self.values}` out"
            )
        told = self.values or found.kind
        if told is not None:
            return told
        low, high = float(found.values.min()), float(found.values.max())
        if low >= 0 and high <= 1:
            return "probabilities"
        if low < 0:
            return "logits"
        raise SegdistillError(
            f"{file} has values from {low:.3g} to {high:.3g}: neither probabilities nor, it seems, logits; divide "
            "scaled probabilities by their scale, or write `values: logits`"
        )


def _summing_to_one(values: np.ndarray, file: Path) -> np.ndarray:
    """Probabilities of exclusive classes; where all are 0, outside of nnU-Net's crop, it is background."""
    total = values.sum(axis=0)
    outside = total == 0
    off = np.abs(total - 1)[~outside]
    if off.size and off.max() > SUM_TOLERANCE:
        raise SegdistillError(
            f"{file} holds values in [0, 1] that do not sum to 1 over the channels (from "
            f"{total[~outside].min():.3g} to {total.max():.3g}); write `overlapping: true` if these are overlapping "
            "regions, `values: logits` if they are logits, and add the background as the first channel if it is missing"
        )
    if outside.any():
        values = values.copy()
        values[0, outside] = 1
    return values
