"""A teacher: a frozen network that answers with knowledge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from segdistill.networks.stages import catch, first_output


@dataclass(frozen=True)
class Teacher:
    """A network in the role of a teacher.

    Attributes:
        network: any module that maps (batch, channel, *space) to logits of the same space.
        weight: a_t, its weight in every term.
        source: where it was loaded from, for the run's record.
    """

    network: nn.Module
    weight: float = 1.0
    source: Path | None = None

    def freeze(self) -> Teacher:
        """Put the network in eval mode without gradients; returns the teacher itself."""
        self.network.eval().requires_grad_(False)
        return self

    @torch.no_grad()
    def knowledge(self, image: Tensor, stages: Sequence[str]) -> dict[str, Tensor]:
        """Logits and the maps of `stages` for a batch of images, without gradients."""
        with catch(self.network, stages) as maps:
            output = self.network(image)
        return dict(maps) | {"logits": first_output(output)}
