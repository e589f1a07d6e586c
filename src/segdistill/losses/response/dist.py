"""Distillation from a stronger teacher (DIST): correlations in place of a divergence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.reduction import at_least_float32, check_pair, voxel_mean
from segdistill.losses.response.probabilities import log_probabilities

FLOOR = 1e-3  # standard deviation of probabilities; one sure voxel in 10^6 has as much


@dataclass(frozen=True)
class DIST:
    """T^2 (beta (1 - r_inter) + gamma (1 - r_intra)), r Pearson correlations of probabilities (Huang et al., 2022).

    Inter: across the classes at each voxel, averaged over voxels and batch. Intra: across the voxels for each
    class, averaged over classes and batch. The original correlates each class over all voxels of the batch;
    here it is over each sample's, so that the value does not depend on what else is in the batch.

    1 - r is computed as half the mean squared difference of the standardised probabilities, which is the same.
    A standard deviation below 0.001 (a class that neither sees) is taken as 0.001: such a class adds little,
    and nothing where both are constant.

    With two classes (each region is such a problem) r_inter is +1 or -1: the inter part tells whether both
    prefer the same class and has no gradient, so all that is learned comes from the intra part.

    Args:
        beta: weight of the inter part.
        gamma: weight of the intra part.
        temperature: T > 0.

    Raises:
        ValueError: fewer than two channels.
    """

    over_classes: ClassVar[bool] = True

    beta: Annotated[float, Field(ge=0)] = 1.0
    gamma: Annotated[float, Field(ge=0)] = 1.0
    temperature: Annotated[float, Field(gt=0)] = 1.0

    def __call__(
        self,
        student: Float[Tensor, "batch class *space"],
        teacher: Float[Tensor, "batch class *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher, least_channels=2)
        own = log_probabilities(student, self.temperature).exp()
        other = log_probabilities(teacher, self.temperature).exp()
        inter = voxel_mean(_distance(own, other, 1 / own.shape[1], dim=1), where)

        own, other = own.flatten(2), other.flatten(2)
        share: Tensor | float = 1 / own.shape[2]
        if where is not None:
            weight = at_least_float32(where).flatten(2)
            share = weight / weight.sum(2, keepdim=True).clamp_min(1e-6)
        intra = _distance(own, other, share, dim=2).mean()
        return (self.beta * inter + self.gamma * intra) * self.temperature**2


def _distance(own: Tensor, other: Tensor, share: Tensor | float, dim: int) -> Tensor:
    """1 - Pearson's r along `dim`, where each entry has its share of the mean."""
    difference = _standardised(own, share, dim) - _standardised(other, share, dim)
    return (difference.square() * share).sum(dim) / 2


def _standardised(values: Tensor, share: Tensor | float, dim: int) -> Tensor:
    centred = values - (values * share).sum(dim, keepdim=True)
    variance = (centred.square() * share).sum(dim, keepdim=True)
    return centred / variance.clamp_min(FLOOR**2).sqrt()
