"""A teacher: a network that answers with knowledge. Most are frozen; a peer and a moving average learn meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segdistill.networks.domains import ask
from segdistill.networks.stages import catch, first_output
from segdistill.teachers.average import Average
from segdistill.teachers.intensity_map import IntensityMap
from segdistill.teachers.label_map import LabelMap
from segdistill.teachers.peer import Peer
from segdistill.teachers.view import View


@dataclass(frozen=True)
class Teacher:
    """A network in the role of a teacher.

    Attributes:
        network: any module that maps (batch, channel, *space) to logits of the same space.
        weight: a_t, its weight in every term.
        source: where it was loaded from, for the run's record.
        inputs: which channels of the images it sees; None: all.
        intensities: brings the images to the statistics of its own training cases; None: they are the student's.
        labels: which of the student's classes it knows; None: all, in the same order.
        score: its Dice on its own validation cases, 0 to 1, where it is known.
        view: how its copy of the images is changed, where it is not to see what the student sees.
        peer: it is trained beside the student, and learns from it.
        average: it is the moving average of the student.
    """

    network: nn.Module
    weight: float = 1.0
    source: Path | None = None
    inputs: tuple[int, ...] | None = None
    intensities: IntensityMap | None = None
    labels: LabelMap | None = None
    score: float | None = None
    view: View | None = None
    peer: Peer | None = None
    average: Average | None = None

    @property
    def learns(self) -> bool:
        """Whether it changes during training."""
        return self.peer is not None or self.average is not None

    def freeze(self) -> Teacher:
        """Put the network in eval mode without gradients, unless it is a peer; returns the teacher itself."""
        if self.peer is None:
            self.network.eval().requires_grad_(False)
        return self

    def ask(
        self, image: Tensor, stages: Sequence[str], site: Tensor | None = None
    ) -> tuple[dict[str, Tensor], Any]:
        """What it knows of a batch of images (`knowledge`), and its output as it came, with all its heads."""
        image = image if self.inputs is None else image[:, list(self.inputs)]
        image = image if self.view is None else self.view(image)
        image = image if self.intensities is None else self.intensities(image)
        if self.peer is None:
            self.network.eval()  # a moving average lies inside the module that training puts in train mode
        with nullcontext() if self.peer is not None else torch.no_grad(), catch(self.network, stages) as maps:
            output = ask(self.network, image, site)
        return dict(maps) | {"logits": first_output(output)}, output

    def knowledge(
        self, image: Tensor, stages: Sequence[str], site: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Logits and the maps of `stages` for a batch of images; without gradients, unless it is a peer.

        Args:
            site: (batch,) numbers of the student's sites, for a network that adapts to them.
        """
        return self.ask(image, stages, site)[0]
