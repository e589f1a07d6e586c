"""Several folds as one network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from segdistill.networks.stages import first_output


class Ensemble(nn.Module):
    """The mean of its members' logits, as nnU-Net combines folds.

    Its maps cannot be named: each member has its own.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, *S) -> (B, K, *S)."""
        total = first_output(self.members[0](image))
        for member in list(self.members)[1:]:
            total = total + first_output(member(image))
        return total / len(self.members)
