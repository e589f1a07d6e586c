"""Response distillation along the boundaries of the label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.boundary.band import band
from segdistill.losses.boundary.planes import check_planes
from segdistill.losses.boundary.weighted_kl import weighted_kl
from segdistill.losses.response.kl import KL


@dataclass(frozen=True)
class BandKL:
    """T^2 KL of the class probabilities, averaged over a band along the label's boundaries.

    After the edge loss of BPKD (Liu et al., 2023): voxel-wise KL where classes meet, because there a light student is
    the least sure. Its idea in our reduction, not its masks and weights: summed over classes, averaged over the
    band's voxels of a sample, then over the batch. The band is the voxels from which another class is `width` or
    fewer steps through voxel faces away (dilation by a cross); at width 1 the two voxels that a boundary separates.
    The boundaries are the label's, whatever `where` says: it weighs the voxels of the band.

    What the band does not hold is left out: a sample without a boundary (one class alone, or no label) counts as 0.
    Not patch-invariant: the faces of a patch are no boundary, but where tiles meet there may be one.

    Args:
        width: of the band on each side of a boundary, in voxels.
        temperature: T > 0; the factor T^2 keeps the gradient's size when T changes.
        direction: which distribution the expectation is taken over: the teacher's (forward) or the student's.

    Raises:
        ValueError: fewer than two channels, or a label that is not one plane a class.
    """

    over_classes: ClassVar[bool] = True
    needs_label: ClassVar[bool] = True

    width: Annotated[int, Field(ge=1)] = 1
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
        return weighted_kl(kl, student, teacher, band(label, self.width), where)
