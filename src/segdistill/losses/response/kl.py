"""Voxel-wise response distillation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.reduction import check_pair, voxel_mean
from segdistill.losses.response.probabilities import log_probabilities


@dataclass(frozen=True)
class KL:
    """T^2 KL(p_teacher || p_student) of p = softmax(logits / T) over classes (Hinton et al., 2015).

    Summed over classes, averaged over voxels and batch. `direction: reverse` is KL(p_student || p_teacher),
    as printed in Teach-Former's Eq. 2: it seeks one mode of the teacher where `forward` covers all.

    Args:
        temperature: T > 0; the factor T^2 keeps the gradient's size when T changes.
        direction: which distribution the expectation is taken over: the teacher's (forward) or the student's.
        reduction: what the sum over classes and voxels is divided by: the number of voxels, or the number of
            pairs of channels. `pairs` is 2 / C times `voxel` for C channels. It is there for parity with the
            published code of HLFD (Gorade et al., 2024), which reads maps of any width as rows of two; with
            two classes there is no difference.

    Raises:
        ValueError: fewer than two channels.
    """

    by_voxel: ClassVar[bool] = True  # a mean over voxels: several teachers can share each of them

    over_classes: ClassVar[bool] = True  # sigmoid logits are turned into two classes for it

    temperature: Annotated[float, Field(gt=0)] = 1.0
    direction: Literal["forward", "reverse"] = "forward"
    reduction: Literal["voxel", "pairs"] = "voxel"

    def __call__(
        self,
        student: Float[Tensor, "batch class *space"],
        teacher: Float[Tensor, "batch class *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        return self.of_several(student, [teacher], [1.0], where)

    def of_several(
        self,
        student: Tensor,
        teachers: Sequence[Tensor],
        weights: Sequence[float],
        where: Tensor | None = None,
    ) -> Tensor:
        """sum_k w_k loss(student, teacher_k): linear in one map of all teachers, so that the student is read once."""
        own: Tensor = log_probabilities(student, self.temperature)
        said, entropy = torch.zeros_like(own), torch.zeros_like(own)
        for teacher, weight in zip(teachers, weights, strict=True):
            check_pair(student, teacher, least_channels=2)
            log_teacher = log_probabilities(teacher, self.temperature)
            if self.direction == "forward":
                probability = log_teacher.exp() * weight
                said, entropy = said + probability, entropy + probability * log_teacher
            else:
                said = said + log_teacher * weight
        if self.direction == "forward":
            divergence = entropy - said * own
        else:
            divergence = own.exp() * (own * sum(weights) - said)
        value = voxel_mean(divergence.sum(1), where) * self.temperature**2
        return value if self.reduction == "voxel" else value * 2 / student.shape[1]
