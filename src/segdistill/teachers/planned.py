"""A network that sees images as a plan of its own prepares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from segdistill.data.plan import Plan
from segdistill.data.preprocessing import prepared
from segdistill.data.slices import Slices, along
from segdistill.errors import SegdistillError
from segdistill.evaluation.sliding_window import LOGITS, predict_maps, strides_of
from segdistill.networks.stages import resolve, stage_names
from segdistill.teachers.identity import of_network, of_text
from segdistill.teachers.source import Answer, Asking, CaseImage


@dataclass(frozen=True)
class Planned:
    """A network and the plan of its images, as a source of answers (`Source`).

    Attributes:
        network: maps (batch, channel, *window) to logits.
        plan: its channels, spacing, intensities, classes.
        window: voxels of a patch along each axis that it sees.
        slices: it sees slices of the images.
        trained_on: cases that it has learnt from.
        score: Dice on its own validation cases.
    """

    network: nn.Module
    plan: Plan
    window: tuple[int, ...]
    slices: Slices | None = None
    trained_on: tuple[str, ...] = ()
    score: float | None = None

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the image channels that it sees."""
        return tuple(channel.name for channel in self.plan.channels)

    @property
    def classes(self) -> tuple[str, ...]:
        """Its foreground classes, or regions."""
        return self.plan.classes

    @property
    def regions(self) -> bool:
        """Its classes overlap."""
        return self.plan.regions

    def identity(self) -> str:
        """Of weights, answers, what its stages are, plan, window and slices."""
        channels = len(self.plan.channels)
        stages = [name for name in stage_names(self.network) if name != LOGITS]
        try:
            network = of_network(self.network, channels, self.window, stages)
        except (ValueError, SegdistillError):  # a stage that stays silent outside of training
            network = of_network(self.network, channels, self.window)
        across = None if self.slices is None else self.slices.axis
        return of_text(network, self.plan.fingerprint, self.window, across)

    def answer(self, case: CaseImage, stages: Sequence[str], asking: Asking) -> Answer:
        """What it says about a case, on the grid of its own plan.

        Raises:
            SegdistillError: the image does not fit the plan, or a stage that is not there.
        """
        image, grid = prepared(case.image, case.geometry, self.plan)
        try:
            names = {name: resolve(self.network, name) for name in stages}
        except ValueError as error:
            raise SegdistillError(str(error)) from error
        network = self.network.to(asking.device)
        example = torch.zeros(1, len(image), *self.window, device=asking.device)
        strides = strides_of(network, example, list(dict.fromkeys(names.values()))) if stages else {}
        maps = predict_maps(
            network, image, self.window, strides, overlap=asking.overlap, batch_size=asking.window_batch,
            mirror=asking.mirror, slices=self.slices, device=asking.device,
        )  # fmt: skip
        whole = {name: along(self.slices, stride) for name, stride in strides.items()}
        return Answer(
            {"logits": maps["logits"]} | {name: maps[real] for name, real in names.items()},
            {"logits": (1,) * self.plan.spatial_dims} | {name: whole[real] for name, real in names.items()},
            grid.to_original,
        )
