"""Where a term counts: spatial weights, made from the label and from what student and teacher say.

In a recipe `where: band`, or `where: {type: band, radius: 2}`. A part is called as `part(label, student, teacher)` and
gives (batch, 1, *space) in [0, 1], without a gradient, on the grid of the logits:

- label: one plane a class, 0 or 1, plane 0 the background; no plane is set where a voxel has no label. With `regions`
  one plane a region, which may overlap and have no plane of background: a voxel that is in none is background, and
  ignored voxels cannot be told from it (the ignore mask of the data leaves them out all the same).
- student, teacher: probabilities of the same shape, softmax over classes, or sigmoid with `regions`.

Voxels without a label have weight 0 in every part that reads the label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.boundary.band import band
from segdistill.losses.boundary.distance import nearness
from segdistill.losses.boundary.planes import check_planes, labelled

Planes = Float[Tensor, "batch plane *space"]
Probabilities = Float[Tensor, "batch class *space"]
Weight = Float[Tensor, "batch 1 *space"]
Fraction = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Band:
    """1 within `radius` voxels of a boundary of the label, 0 elsewhere; the band of the loss `band_kl`.

    After BPKD (Liu et al., 2023, arXiv:2306.08075). Voxels are counted through their faces; radius 1 is the voxels on
    both sides of a boundary.

    Args:
        radius: of the band on each side of a boundary, in voxels.
    """

    radius: Annotated[int, Field(ge=1)] = 1
    regions: bool = False

    @torch.no_grad()
    def __call__(self, label: Planes, student: Probabilities, teacher: Probabilities) -> Weight:
        check_planes(label, student)
        return band(label, self.radius, self.regions).to(student.dtype)


@dataclass(frozen=True)
class Foreground:
    """1 in any foreground class or region of the label, `background` elsewhere.

    Args:
        background: the weight of a background voxel.
    """

    background: Fraction = 0.0
    regions: bool = False

    @torch.no_grad()
    def __call__(self, label: Planes, student: Probabilities, teacher: Probabilities) -> Weight:
        check_planes(label, student)
        inside = (label if self.regions else label[:, 1:]).any(1, keepdim=True).to(student.dtype)
        outside = labelled(label, self.regions).to(student.dtype) - inside
        return inside + self.background * outside


@dataclass(frozen=True)
class Balanced:
    """Every class that a sample has gets the same total weight in it: 1 / its number of voxels.

    Scaled so that the rarest class has weight 1. With `regions`, the classes are the sets of regions that occur, "in
    none" among them, so that nested regions are balanced as the rings that they make.
    """

    regions: bool = False

    @torch.no_grad()
    def __call__(self, label: Planes, student: Probabilities, teacher: Probabilities) -> Weight:
        check_planes(label, student)
        planes = exclusive(label) if self.regions else label
        planes = planes.to(torch.promote_types(student.dtype, torch.float32))
        count = planes.flatten(2).sum(2)
        present = count > 0
        rarest = count.masked_fill(~present, torch.inf).amin(1, keepdim=True)
        share = torch.where(present, rarest / count.clamp_min(1), 0)
        return torch.einsum("bk,bk...->b...", share, planes)[:, None].to(student.dtype)


@dataclass(frozen=True)
class Confident:
    """1 where the teacher is sure: its largest probability is `threshold` or more, else 0.

    With `regions` it must be sure of every region, for or against: max(p, 1 - p). The label is not read.

    Args:
        threshold: the least probability that counts as sure.
    """

    needs_label: ClassVar[bool] = False

    threshold: Fraction = 0.9
    regions: bool = False

    @torch.no_grad()
    def __call__(self, label: Planes, student: Probabilities, teacher: Probabilities) -> Weight:
        if self.regions:
            sureness = torch.maximum(teacher, 1 - teacher).amin(1, keepdim=True)
        else:
            sureness = teacher.amax(1, keepdim=True)
        return (sureness >= self.threshold).to(student.dtype)


@dataclass(frozen=True)
class Behind:
    """1 where the student lags: the teacher gives the labelled class more than `margin` above what the student does.

    A reading of "active exploration" (Zhang et al., 2023, ICASSP; only its title was seen): distil where the teacher
    knows better, leave the rest to the label. With `regions`, 1 where the student lags in any region, on the
    labelled side of it.

    Args:
        margin: the lag in probability that is let pass.
    """

    margin: Annotated[float, Field(ge=0, lt=1)] = 0.0
    regions: bool = False

    @torch.no_grad()
    def __call__(self, label: Planes, student: Probabilities, teacher: Probabilities) -> Weight:
        check_planes(label, student)
        lag = teacher - student
        if self.regions:
            lag = torch.where(label > 0, lag, -lag)
        else:
            lag = lag * label
        return (lag > self.margin).any(1, keepdim=True).to(student.dtype)


@dataclass(frozen=True)
class SignedDistance:
    """exp(-|d| / sigma), d the distance in voxels to the nearest boundary of the label; 0 where a sample has none.

    The weights of the loss `signed_distance_kl`; the distance map is that of Kervadec et al., 2019, arXiv:1812.07032.

    Args:
        sigma: the distance in voxels at which the weight has fallen to 1/e.
    """

    sigma: Annotated[float, Field(gt=0)] = 3.0
    regions: bool = False

    @torch.no_grad()
    def __call__(self, label: Planes, student: Probabilities, teacher: Probabilities) -> Weight:
        check_planes(label, student)
        return nearness(label, self.sigma, self.regions).to(student.dtype)


def exclusive(regions: Planes) -> Float[Tensor, "batch set *space"]:
    """Overlapping regions -> one plane for each set of regions that occurs in the batch."""
    kind = torch.zeros_like(regions[:, 0], dtype=torch.long)
    for plane in regions.unbind(1):
        kind = torch.unique(2 * kind + plane.long(), return_inverse=True)[1]
    return F.one_hot(kind).movedim(-1, 1).to(regions.dtype)


WHERE: dict[str, type] = {
    "band": Band,
    "foreground": Foreground,
    "balanced": Balanced,
    "confident": Confident,
    "behind": Behind,
    "signed_distance": SignedDistance,
}
