"""A peer: a teacher that is trained beside the student."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """How a peer and the student learn from each other (Zhang et al., 2018, arXiv:1706.00384).

    Attributes:
        detach: each takes what the other says as it is, and every term is there twice, once for each of them; else one
            term moves both towards each other (MDViT, Du et al., 2023). A term whose projector learns apart, as an
            autoencoder does, moves the student alone.
        site: the number of the site whose images it sees, among the sites of the data; None: all images. A combination
            of teachers leaves such a peer out: it counts by its weight and its share of the batch.
    """

    detach: bool = True
    site: int | None = None
