"""Voxel-wise response distillation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.reduction import check_pair, voxel_mean


@dataclass(frozen=True)
class KL:
    """T^2 KL(p_teacher || p_student) of p = softmax(logits / T) over classes (Hinton et al., 2015).

    Summed over classes, averaged over voxels and batch. `direction: reverse` is KL(p_student || p_teacher),
    as printed in Teach-Former's Eq. 2: it seeks one mode of the teacher where `forward` covers all.

    Args:
        temperature: T > 0; the factor T^2 keeps the gradient's size when T changes.
        direction: which distribution the expectation is taken over: the teacher's (forward) or the student's.

    Raises:
        ValueError: fewer than two channels.
    """

    over_classes: ClassVar[bool] = True  # sigmoid logits are turned into two classes for it

    temperature: Annotated[float, Field(gt=0)] = 1.0
    direction: Literal["forward", "reverse"] = "forward"

    def __call__(
        self,
        student: Float[Tensor, "batch class *space"],
        teacher: Float[Tensor, "batch class *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher, least_channels=2)
        log_student = F.log_softmax(student / self.temperature, dim=1)
        log_teacher = F.log_softmax(teacher / self.temperature, dim=1)
        if self.direction == "forward":
            divergence = log_teacher.exp() * (log_teacher - log_student)
        else:
            divergence = log_student.exp() * (log_student - log_teacher)
        return voxel_mean(divergence.sum(1), where) * self.temperature**2
