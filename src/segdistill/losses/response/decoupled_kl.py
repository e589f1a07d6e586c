"""Decoupled knowledge distillation (DKD)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.reduction import check_pair, voxel_mean
from segdistill.losses.response.probabilities import log_probabilities
from segdistill.losses.response.target import among_others, check_label, labelled, target_or_other


@dataclass(frozen=True)
class DecoupledKL:
    """T^2 (alpha KL(target or not) + beta KL(among the other classes)), teacher to student (Zhao et al., 2022).

    The KL divergence over classes is KL([q_y, 1 - q_y] || [p_y, 1 - p_y]) + (1 - q_y) KL(q^ || p^), y the
    labelled class and ^ the probabilities of the other classes among themselves. A sure teacher's 1 - q_y
    silences the second part, so here it has a weight of its own. Summed over classes, averaged over voxels and
    batch: the official value, a voxel standing for a sample.

    Voxels without a label are left out. With two classes (each region is such a problem) the other class is
    alone, its part is 0, and the value is alpha times that of `kl`.

    Args:
        alpha: weight of the target part.
        beta: weight of the part among the other classes. 8 and T = 4 are the paper's for CIFAR-100, 0.5 and
            T = 1 its ImageNet's.
        temperature: T > 0.

    Raises:
        ValueError: fewer than two channels, or label planes of another shape than the logits.
    """

    by_voxel: ClassVar[bool] = True  # a mean over voxels: several teachers can share each of them

    over_classes: ClassVar[bool] = True
    needs_label: ClassVar[bool] = True

    alpha: Annotated[float, Field(ge=0)] = 1.0
    beta: Annotated[float, Field(ge=0)] = 8.0
    temperature: Annotated[float, Field(gt=0)] = 4.0

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
        own_target, own_rest = target_or_other(log_probabilities(student, self.temperature), target)
        target_part, rest_part = target_or_other(log_probabilities(teacher, self.temperature), target)
        target_kl = target_part.exp() * (target_part - own_target) + rest_part.exp() * (rest_part - own_rest)

        own = among_others(student, target, self.temperature)
        other = among_others(teacher, target, self.temperature)
        others_kl = (other.exp() * (other - own).masked_fill(target, 0.0)).sum(1)

        decoupled = self.alpha * target_kl + self.beta * others_kl
        return voxel_mean(decoupled, labelled(target, where)) * self.temperature**2
