"""Contrast between the samples of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.reduction import check_pair
from segdistill.losses.unit import unit
from segdistill.losses.voxels import quotient, sample_means


@dataclass(frozen=True)
class Contrastive:
    """InfoNCE: the student's view of a sample is to find the teacher's among those of the batch.

    Mean over samples a of -log softmax_b(s_a . t_b / temperature) at b = a, with maps averaged over their voxels and
    scaled to unit length (He et al., 2020, Eq. 1, with the batch in place of a queue; MCT-KD starts from such
    contrast). A sample without any voxel that counts is left out, as anchor and as candidate. The value lies in
    [0, log(batch) + 2 / temperature]; log(batch) is chance, and a batch of one gives 0.

    Not zero at equal: samples that look alike stay hard to tell apart. Not differentiable at equal in the table's
    sense: there is a gradient there, but it is not 0. Not batch-invariant: a larger batch is a harder question.

    Args:
        temperature: MoCo has 0.07, its second version 0.2.
    """

    least_samples: ClassVar[int] = 2

    temperature: Annotated[float, Field(gt=0)] = 0.2

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher)
        own, present = sample_means(student, where)
        other, _ = sample_means(teacher, where)
        scores = unit(own, 1) @ unit(other, 1).mT / self.temperature
        scores = scores.masked_fill(present == 0, torch.finfo(scores.dtype).min)  # absent candidates
        surprise = -F.log_softmax(scores, dim=1).diagonal()
        return quotient((surprise * present).sum(), present.sum())
