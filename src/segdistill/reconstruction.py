"""What projectors learn by themselves: an autoencoder learns from the teacher's map, not from the distillation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from segdistill.align import resize
from segdistill.compare import Pair

Maps = Mapping[str, Tensor]
Learner = tuple[str, str, Pair, Sequence[int]]
"""Term, teacher, pair whose projector has an own loss, and the size at which it sees the teacher's map."""


def reconstruct(
    learners: Sequence[Learner], maps_of: Callable[[str], Maps | None], nothing: Tensor
) -> dict[str, Tensor]:
    """`TERM reconstruction`: the own losses of each term's projectors, summed over its teachers and pairs.

    Args:
        maps_of: what a teacher says; None where it says nothing of this batch (a peer of another site).
        nothing: 0, on the right device.
    """
    losses: dict[str, Tensor] = {}
    for term, teacher, pair, size in learners:
        maps, key = maps_of(teacher), f"{term} reconstruction"
        losses.setdefault(key, nothing)
        if maps is not None and pair.projector is not None:
            seen = pair.of_teacher(maps).detach().float()
            losses[key] = losses[key] + pair.projector.own_loss(resize(seen, size))  # type: ignore[operator]
    return losses
