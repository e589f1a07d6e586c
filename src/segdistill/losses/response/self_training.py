"""Self-training on a teacher's sharpened and centred pseudo-label of a whole patch (DINO, DISTL)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch.nn.functional as F
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.reduction import check_pair
from segdistill.losses.voxels import sample_means


@dataclass(frozen=True)
class SelfTraining:
    """-sum_k q_k log p_k of the maps' averages over space, q = softmax((t - c) / T_t), p = softmax(s / T_s).

    DINO (Caron et al., 2021) and the self-supervised term of DISTL (Park et al., 2022). A low T_t
    sharpens the teacher; the centre c, the teacher's mean over the batch, keeps all samples from going to one
    channel. The originals carry c on as a running mean (momentum 0.9), a pure function takes this batch's.
    Summed over channels, averaged over the batch. Channels compete: it is for class logits or the outputs of a
    projection head, not for overlapping regions. No gradient reaches the teacher.

    It is a cross-entropy of different temperatures: not zero at equal maps, and not differentiable at equal in
    the table's sense, since the gradient there is no 0. With the centre it compares the samples of a batch, so
    it is not batch invariant; in a batch of one the centred teacher is uniform.

    Averages are weighted by `where`; a sample without any weight counts as 0 and is not in the centre.

    Args:
        teacher_temperature: T_t > 0.
        student_temperature: T_s > 0.
        centre: subtract c.

    Raises:
        ValueError: fewer than two channels.
    """

    least_samples: ClassVar[int] = 2

    teacher_temperature: Annotated[float, Field(gt=0)] = 0.04
    student_temperature: Annotated[float, Field(gt=0)] = 0.1
    centre: bool = True

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher, least_channels=2)
        own, present = sample_means(student, where)
        other, heard = sample_means(teacher.detach(), where)[0], present[:, None] > 0
        if self.centre:
            other = other - _centre(other, heard)
        pseudo_label = F.softmax(other / self.teacher_temperature, dim=1)
        log_student = F.log_softmax(own / self.student_temperature, dim=1)
        return -((pseudo_label * log_student).sum(1, keepdim=True) * heard).mean()


def _centre(
    pooled: Float[Tensor, "batch channel"], heard: Bool[Tensor, "batch 1"]
) -> Float[Tensor, "1 channel"]:
    """Mean over the samples that have weight."""
    return (pooled * heard).sum(0, keepdim=True) / heard.sum().clamp_min(1)
