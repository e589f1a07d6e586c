"""KL divergence of channels that are yes-or-no questions of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.reduction import at_least_float32, check_pair, voxel_mean


@dataclass(frozen=True)
class Bernoulli:
    """T^2 KL of Bernoulli(sigmoid(logit / T)), teacher to student, summed over channels (multi-label distillation).

    Hinton et al., 2015, with a sigmoid in place of the softmax: for overlapping regions, for sigmoid heads of one
    channel, and for classes taken one against all. Averaged over voxels and batch. It is the value of `kl` on
    the two channels [0, z] of each logit z, summed over the logits.

    Args:
        temperature: T > 0.
        direction: which distribution the expectation is taken over: the teacher's (forward) or the student's.
    """

    by_voxel: ClassVar[bool] = True  # a mean over voxels: several teachers can share each of them

    temperature: Annotated[float, Field(gt=0)] = 1.0
    direction: Literal["forward", "reverse"] = "forward"

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher)
        first, second = (
            at_least_float32(teacher) / self.temperature,
            at_least_float32(student) / self.temperature,
        )
        if self.direction == "reverse":
            first, second = second, first
        yes = first.sigmoid() * (F.logsigmoid(first) - F.logsigmoid(second))
        no = (-first).sigmoid() * (F.logsigmoid(-first) - F.logsigmoid(-second))
        return voxel_mean((yes + no).sum(1), where) * self.temperature**2
