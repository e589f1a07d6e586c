"""Networks that adapt to the site, or domain, that an image is from: those with an attribute `domains` above 1."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from segdistill.networks.stages import Stage, stage_table


def domains_of(network: nn.Module) -> int:
    """How many sites the network tells apart; 1 where it does not adapt."""
    return int(getattr(network, "domains", 1))


def ask(network: nn.Module, image: Tensor, site: Tensor | None) -> Any:
    """What the network says of a batch; it is told the (batch,) sites where it adapts to them and they are known."""
    if site is None or domains_of(network) == 1:
        return network(image)
    return network(image, site)


class AtSite(nn.Module):
    """A network with the site of all images settled, to be called with the images alone."""

    def __init__(self, network: nn.Module, site: int) -> None:
        super().__init__()
        self.network, self.site = network, site

    def stages(self) -> dict[str, Stage]:
        """The network's own."""
        return stage_table(self.network)

    def forward(self, image: Tensor) -> Any:
        """As the network's own."""
        return self.network(image, torch.full((image.shape[0],), self.site, device=image.device))


def at_site(network: nn.Module, site: int | None) -> nn.Module:
    """The network for images of one site; as it is where it does not adapt, or the site is none that it knows."""
    if site is None or not 0 <= site < domains_of(network) or domains_of(network) == 1:
        return network
    return AtSite(network, site)
