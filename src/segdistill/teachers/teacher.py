"""A teacher answers with knowledge: from a network in every step, or from what was recorded of it beforehand.

Most are frozen; a peer and a moving average learn meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segdistill.errors import SegdistillError
from segdistill.networks.domains import ask
from segdistill.networks.stages import catch, first_output, stage_names
from segdistill.teachers.average import Average
from segdistill.teachers.intensity_map import IntensityMap
from segdistill.teachers.label_map import LabelMap
from segdistill.teachers.peer import Peer
from segdistill.teachers.source import Source
from segdistill.teachers.view import View

MapSize = tuple[int, tuple[int, ...]]
"""Channels of a map, and voxels of a patch that one of its voxels covers along each axis."""


@dataclass(frozen=True)
class Group:
    """Several trained models that are one teacher, each a teacher by itself.

    Attributes:
        members: all for the same classes.
        out_of_fold: each case is taught by the members that have not learnt from it; else by all. Their logits are
            averaged.
    """

    members: tuple[Teacher, ...]
    out_of_fold: bool = False

    def of_case(self, case: str) -> tuple[Teacher, ...]:
        """The members that teach a case.

        Raises:
            SegdistillError: all have learnt from it.
        """
        chosen = tuple(one for one in self.members if not self.out_of_fold or case not in one.trained_on)
        if not chosen:
            raise SegdistillError(
                f"case {case}: every model of the group was trained on it, so none can teach it out of fold"
            )
        return chosen


@dataclass(frozen=True)
class Teacher:
    """A network in the role of a teacher.

    Attributes:
        network: any module that maps (batch, channel, *space) to logits of the same space; None: it does not answer for
            patches, all that it says was recorded.
        weight: a_t, its weight in every term.
        source: where it was loaded from, for the run's record.
        inputs: which channels of the images it sees; None: all.
        intensities: brings the images to the statistics of its own training cases; None: they are the student's.
        labels: which of the student's classes it knows; None: all, in the same order.
        score: its Dice on its own validation cases, 0 to 1, where it is known.
        view: how its copy of the images is changed, where it is not to see what the student sees.
        peer: it is trained beside the student, and learns from it.
        average: it is the moving average of the student.
        whole_cases: it sees images in its own way and answers for whole cases; it has to be recorded.
        channels: names of the image channels that such a one sees, among those of the student's data; None: all.
        apart: in words, why it cannot answer for the student's patches.
        recorded: by stage what its recorded maps are like; None: it answers in every step.
        window: patch that it was trained on; None: the student's.
        trained_on: cases that it has learnt from, as far as is known.
    """

    network: nn.Module | None
    weight: float = 1.0
    source: Path | None = None
    inputs: tuple[int, ...] | None = None
    intensities: IntensityMap | None = None
    labels: LabelMap | None = None
    score: float | None = None
    view: View | None = None
    peer: Peer | None = None
    average: Average | None = None
    whole_cases: Source | Group | None = None
    channels: tuple[str, ...] | None = None
    apart: str = ""
    recorded: Mapping[str, MapSize] | None = None
    window: tuple[int, ...] | None = None
    trained_on: tuple[str, ...] = ()

    @property
    def module(self) -> nn.Module:
        """The network of a teacher that answers in every step."""
        assert self.network is not None
        return self.network

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages that it can tell."""
        return tuple(self.recorded) if self.recorded is not None else stage_names(self.module)

    def seen(self, image: Tensor) -> Tensor:
        """What it sees of (batch, channel, *space): its channels, in another view, in its own intensities."""
        image = image if self.inputs is None else image[:, list(self.inputs)]
        image = image if self.view is None else self.view(image)
        return image if self.intensities is None else self.intensities(image)

    def silence(self, image: Tensor) -> dict[str, Tensor]:
        """Maps of zeros such as are recorded for this batch (batch, channel, *patch): for looking at sizes."""
        assert self.recorded is not None
        return {
            name: image.new_zeros(
                len(image), channels, *(n // s for n, s in zip(image.shape[2:], stride, strict=True))
            )
            for name, (channels, stride) in self.recorded.items()
        }

    @property
    def learns(self) -> bool:
        """Whether it changes during training."""
        return self.peer is not None or self.average is not None

    def freeze(self) -> Teacher:
        """Put the network in eval mode without gradients, unless it is a peer; returns the teacher itself."""
        if self.peer is None and self.network is not None:
            self.network.eval().requires_grad_(False)
        return self

    def ask(
        self, image: Tensor, stages: Sequence[str], site: Tensor | None = None
    ) -> tuple[dict[str, Tensor], Any]:
        """What it knows of a batch of images (`knowledge`), and its output as it came, with all its heads."""
        image, network = self.seen(image), self.module
        if self.peer is None:
            network.eval()  # a moving average lies inside the module that training puts in train mode
        with nullcontext() if self.peer is not None else torch.no_grad(), catch(network, stages) as maps:
            output = ask(network, image, site)
        return dict(maps) | {"logits": first_output(output)}, output

    def knowledge(
        self, image: Tensor, stages: Sequence[str], site: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Logits and the maps of `stages` for a batch of images; without gradients, unless it is a peer.

        Args:
            site: (batch,) numbers of the student's sites, for a network that adapts to them.
        """
        return self.ask(image, stages, site)[0]
