"""A trained configuration of nnU-Net v2 that runs here: our network with its weights, our preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from segdistill.checkpoint import load_weights
from segdistill.data.slices import Slices
from segdistill.errors import SegdistillError
from segdistill.evaluation.sliding_window import LOGITS, predict_maps, strides_of
from segdistill.model import Facts, build_network
from segdistill.teachers.nnunet import history
from segdistill.teachers.nnunet.checkpoint import Checkpoint
from segdistill.teachers.nnunet.configuration import Configuration
from segdistill.teachers.nnunet.ensemble import Ensemble
from segdistill.teachers.nnunet.identity import identity_of, of_weights
from segdistill.teachers.nnunet.labels import Labels
from segdistill.teachers.nnunet.preprocessing import prepare
from segdistill.teachers.nnunet.results import Results
from segdistill.teachers.source import Answer, Asking, CaseImage


class NnunetSource:
    """One fold, or several whose logits are averaged.

    Args:
        results: the files.
        labels: channels and classes.
        configuration: preprocessing and windows.
        part: the network, as a part of a recipe.
        checkpoints: one for each fold, in their order.
    """

    def __init__(
        self,
        results: Results,
        labels: Labels,
        configuration: Configuration,
        part: dict[str, Any],
        checkpoints: Sequence[Checkpoint],
    ) -> None:
        self.channels: tuple[str, ...] | None = labels.channels
        self.classes: tuple[str, ...] | None = labels.classes
        self.regions = labels.regions
        self.trained_on = history.trained_on(results)
        self.score = history.score(results)
        self.window: tuple[int, ...] | None = configuration.patch_size
        self._results, self._configuration = results, configuration
        self._mirroring = checkpoints[0].mirroring
        dims = len(configuration.patch_size)
        facts = Facts(dims, len(labels.channels), labels.outputs, configuration.patch_size)
        place = f"{results.path / 'plans.json'}, configuration {configuration.name!r}"
        members = [build_network(part, facts, place) for _ in checkpoints]
        for member, fold, checkpoint in zip(members, results.folds, checkpoints, strict=True):
            load_weights(member, checkpoint.weights, results.weights(fold))
            member.eval().requires_grad_(False)
        self.network: nn.Module | None = members[0] if len(members) == 1 else Ensemble(members)
        self._identity = identity_of(results, [of_weights(checkpoint) for checkpoint in checkpoints])

    def identity(self) -> str:
        return self._identity

    def answer(self, case: CaseImage, stages: Sequence[str], asking: Asking) -> Answer:
        """What it says about one case, on nnU-Net's grid.

        Raises:
            SegdistillError: the image does not fit, or stages are asked of several folds.
        """
        network = self.network
        assert network is not None
        asked = [stage for stage in dict.fromkeys(stages) if stage != LOGITS]
        if asked and isinstance(network, Ensemble):
            raise SegdistillError(
                f"{self._results.path}: stages ({', '.join(asked)}) are those of one network, but folds "
                f"{', '.join(map(str, self._results.folds))} are asked; take one, such as "
                f"{{type: nnunet, folds: [{self._results.folds[0]}]}}"
            )
        array, placement = prepare(case, self._configuration)
        plane = case.image.ndim == 3
        sliced = len(self._configuration.patch_size) == 2 and not plane
        network.to(asking.device)
        window = (1, len(array), *self._configuration.patch_size)
        strides = strides_of(network, torch.zeros(window, device=asking.device), asked) if asked else {}
        maps = predict_maps(
            network,
            np.ascontiguousarray(array[:, 0] if plane else array),
            self._configuration.patch_size,
            strides,
            overlap=asking.overlap,
            batch_size=asking.window_batch,
            mirror=self._mirroring if asking.mirror else (),
            slices=Slices(axis=0) if sliced else None,
            device=asking.device,
        )
        told = {name: ((1, *stride) if sliced else stride) for name, stride in strides.items()}
        told[LOGITS] = (1,) * (array.ndim - 1 - plane)
        return Answer(maps, told, placement.to_original())
