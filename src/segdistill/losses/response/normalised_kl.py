"""Normalised knowledge distillation (NKD)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.reduction import check_pair, voxel_mean
from segdistill.losses.response.probabilities import log_probabilities
from segdistill.losses.response.target import among_others, check_label, labelled


@dataclass(frozen=True)
class NormalisedKL:
    """-q_y log p_y - gamma T^2 sum_(k != y) q^_k log p^_k, y the labelled class (Yang et al., 2023).

    ^ are the probabilities of the other classes among themselves, at temperature T; the target part is at
    T = 1. Summed over classes, averaged over voxels and batch: the official value, a voxel standing for a
    sample. Voxels without a label are left out.

    These are cross-entropies, so it is not zero at equal maps but the teacher's entropies. The target part
    asks for p_y = 1, weighed by the teacher's trust, so it is not differentiable at equal in the table's
    sense: the gradient there is no 0. With two classes (each region is such a problem) the part among the
    others is always 0.

    Args:
        gamma: weight of the part among the other classes.
        temperature: T > 0 of that part.

    Raises:
        ValueError: fewer than two channels, or label planes of another shape than the logits.
    """

    by_voxel: ClassVar[bool] = True  # a mean over voxels: several teachers can share each of them

    over_classes: ClassVar[bool] = True
    needs_label: ClassVar[bool] = True

    gamma: Annotated[float, Field(ge=0)] = 1.5
    temperature: Annotated[float, Field(gt=0)] = 1.0

    def __call__(
        self,
        student: Float[Tensor, "batch class *space"],
        teacher: Float[Tensor, "batch class *space"],
        label: Float[Tensor, "batch class_l *space_l"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher, least_channels=2)
        check_label(student, label)
        target = label > 0.5
        trust = log_probabilities(teacher).exp() * target
        of_target = -(trust * log_probabilities(student)).sum(1)

        own = among_others(student, target, self.temperature).masked_fill(target, 0.0)
        of_others = -(among_others(teacher, target, self.temperature).exp() * own).sum(1)

        normalised = of_target + self.gamma * self.temperature**2 * of_others
        return voxel_mean(normalised, labelled(target, where))
