"""A folder of nnU-Net v2 results as a teacher: `teachers.NAME.source={type: nnunet, folds: [0, 1]}`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from segdistill.errors import SegdistillError
from segdistill.networks.nnunet_plans import part_from_plans
from segdistill.teachers.nnunet import results as files
from segdistill.teachers.nnunet.checkpoint import Checkpoint, load
from segdistill.teachers.nnunet.configuration import Configuration
from segdistill.teachers.nnunet.foreign import ForeignSource
from segdistill.teachers.nnunet.labels import Labels
from segdistill.teachers.nnunet.source import NnunetSource
from segdistill.teachers.source import Source

Number = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class NnunetFolder:
    """A trained configuration as nnU-Net v2 leaves it, such as `nnUNetTrainer__nnUNetPlans__3d_fullres`.

    The folder holds plans.json, dataset.json and fold_0, ...; one that holds exactly one such folder is taken too.
    Plain and residual U-Nets run here, without nnU-Net. Others run in nnU-Net's own environment.

    Attributes:
        folds: the folds whose logits are averaged; None: all numbered ones that are there, or `all`.
        checkpoint: the last weights, or those that were best while training.
        configuration: one of the plans; None: as the folder's name says.
    """

    folds: Annotated[tuple[Number | Literal["all"], ...], Field(min_length=1)] | None = None
    checkpoint: Literal["final", "best"] = "final"
    configuration: str | None = None

    @staticmethod
    def recognises(path: Path) -> bool:
        """Whether the names in a folder are nnU-Net's, those of version 1 too, so that it is told; nothing is read."""
        return bool(files.trained_below(Path(path))) or files.looks_like_version_1(Path(path))

    def open(self, path: Path, *, trust: bool = False) -> Source:
        """Read plans and weights.

        Args:
            trust: allow what runs code of the folder: pickles that hold more than weights, and networks or
                preprocessing that only nnU-Net's own code, or code of whoever trained it, knows.

        Raises:
            SegdistillError: something is missing, does not fit, or would need `trust`; with what to do.
        """
        results = files.read(Path(path), self.folds, self.checkpoint, self.configuration)
        labels = Labels.of(results.dataset, str(results.path / files.DATASET))
        plans = results.path / files.PLANS
        configuration = Configuration.of(
            results.plans, results.configuration, len(labels.channels), str(plans)
        )
        part: dict[str, Any] = {}
        reason = configuration.foreign()
        try:
            part = part_from_plans(results.plans, results.configuration)
        except ValueError as error:
            reason = str(error)
        except (AttributeError, TypeError, KeyError):  # a list or a number in the place of an object
            raise SegdistillError(
                f"{plans}, configuration {results.configuration!r}: its network is not told as nnU-Net v2 tells "
                "it; copy it again"
            ) from None
        if reason is not None:
            return ForeignSource(results, labels, configuration, reason, trust=trust)
        checkpoints = [load(results.weights(fold), trust=trust) for fold in results.folds]
        _same_configuration(results, checkpoints)
        try:
            return NnunetSource(results, labels, configuration, part, checkpoints)
        except SegdistillError as error:
            trainer = checkpoints[0].trainer
            if trainer == "nnUNetTrainer":
                raise
            reason = f"the trainer {trainer} made a network that is not the plan's: {error}"
            return ForeignSource(results, labels, configuration, reason, trust=trust)


def _same_configuration(results: files.Results, checkpoints: list[Checkpoint]) -> None:
    for fold, checkpoint in zip(results.folds, checkpoints, strict=True):
        trained = checkpoint.configuration
        if trained is not None and trained != results.configuration:
            raise SegdistillError(
                f"{results.weights(fold)} was trained as {trained!r}, but {results.configuration!r} is asked; set "
                f"configuration: {trained}"
            )
