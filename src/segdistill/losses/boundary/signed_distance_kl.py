"""Response distillation that fades with the distance to the boundaries of the label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.boundary.distance import nearness
from segdistill.losses.boundary.planes import check_planes
from segdistill.losses.boundary.weighted_kl import weighted_kl
from segdistill.losses.response.kl import KL


@dataclass(frozen=True)
class SignedDistanceKL:
    """T^2 KL of the class probabilities, averaged with weights exp(-|d| / sigma).

    d is the signed distance of a voxel to the nearest boundary between any two classes of the label, in voxels, 0 on
    both sides of it: the distance map of Kervadec et al., 2019, as a soft band. Summed over classes, the weighted
    mean over the voxels of a sample, then over the batch. The boundaries are the label's, whatever `where` says: it
    multiplies the weights. The distances are made on the CPU in every call, O(N).

    Voxels without a label are left out, and a sample without a boundary (one class alone, or no label) counts as 0.
    Not patch-invariant: where tiles meet there may be new boundaries.

    Args:
        sigma: the distance in voxels at which a weight has fallen to 1/e.
        temperature: T > 0; the factor T^2 keeps the gradient's size when T changes.
        direction: which distribution the expectation is taken over: the teacher's (forward) or the student's.

    Raises:
        ValueError: fewer than two channels, or a label that is not one plane a class.
    """

    over_classes: ClassVar[bool] = True
    needs_label: ClassVar[bool] = True

    sigma: Annotated[float, Field(gt=0)] = 3.0
    temperature: Annotated[float, Field(gt=0)] = 1.0
    direction: Literal["forward", "reverse"] = "forward"

    def __call__(
        self,
        student: Float[Tensor, "batch class *space"],
        teacher: Float[Tensor, "batch class *space"],
        label: Float[Tensor, "batch class *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_planes(label, student)
        kl = KL(temperature=self.temperature, direction=self.direction)
        return weighted_kl(kl, student, teacher, nearness(label, self.sigma), where)
