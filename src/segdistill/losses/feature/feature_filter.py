"""MSKD's feature filtering distillation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.reduction import at_least_float32, check_pair, voxel_mean
from segdistill.losses.voxels import sample_means


def filtered(
    feature: Float[Tensor, "batch channel *space"], where: Float[Tensor, "batch 1 *space"] | None
) -> Float[Tensor, batch * space]:
    """M = mean_c softmax_c(global average of ReLU F) ReLU F: one map a sample, in which strong channels lead."""
    rectified = feature.relu()
    share = sample_means(rectified, where)[0].softmax(dim=1)
    return torch.einsum("bc,bc...->b...", share, rectified) / feature.shape[1]


@dataclass(frozen=True)
class FeatureFilter:
    """Weighted mean over voxels of (M(student) - M(teacher))^2, batch mean (FFD of MSKD, Zhao et al., 2023).

    M = mean_c softmax_c(GAP(ReLU F)) ReLU F, so that any two widths compare without a projector; the mean divides
    by the width, as published. The weight of a voxel comes from the teacher alone and carries no gradient:
    p = sigmoid(M_t), kept where p >= `threshold` or 1 - p >= `threshold`, then u = exp(`gamma` p) divided by its
    mean over the kept voxels. As M_t >= 0, p lies in [0.5, 1): the default keeps every voxel, a higher threshold
    only those where the teacher is active, M_t >= log(threshold / (1 - threshold)). Voxels not kept are left out
    of the mean; a sample that keeps none counts as 0.

    The paper's text is not open; this follows its abstract and a re-implementation (status: close), and that p is
    the teacher's sigmoid(M_t) is our reading.

    Args:
        gamma: how much more an active voxel counts than a silent one: at most exp(gamma / 2) times.
        threshold: the least p that is kept, in [0.5, 1).
    """

    needs_equal_width: ClassVar[bool] = False

    gamma: Annotated[float, Field(ge=0, le=20)] = 0.6
    threshold: Annotated[float, Field(ge=0.5, lt=1)] = 0.5

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel_t *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher, any_width=True)
        own, other = filtered(at_least_float32(student), where), filtered(at_least_float32(teacher), where)
        active = other.detach().sigmoid()[:, None]
        weight = torch.exp(self.gamma * active) * (active >= self.threshold)
        return voxel_mean((own - other).square(), weight if where is None else weight * where)
