"""Leading subspaces of the features over space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.reduction import check_pair
from segdistill.losses.voxels import quotient, voxels


@dataclass(frozen=True)
class Subspace:
    """||H(student) - H(teacher)||^2 / (||H(student)||^2 + ||H(teacher)||^2), batch mean; H = soft leading subspace.

    With F the map as voxels x channels (not centred), H = F (F^T F + ||F||^2 / rank)^-1 F^T, so a left singular
    direction with the share e of the energy ||F||^2 counts by e / (e + 1/rank): the leading ones nearly fully, the
    tail, the noise, hardly. Inspired by ISKD's feature denoising (Chen and Yu, 2024), whose form is not known to us;
    it reproduces nothing.

    Why not the first `rank` singular vectors themselves, 1 - ||V_s^T V_t||^2 / rank: their gradient grows like
    1 / (difference of neighbouring singular values), without bound. Why not the share of the student's energy that
    lies outside of the teacher's subspace: a student whose channels are all one pattern of the teacher would be
    perfect, and the teacher itself would not. With F F^T in place of H this is close to linear CKA, uncentred
    (Kornblith et al., 2019), which large directions dominate.

    Any two widths compare, and H is never made: the traces need channels x channels only. The value lies in [0, 1]:
    1 where the subspaces have nothing in common, or where one map is all 0.

    Args:
        rank: a direction counts by half at the share 1/rank of the energy: about as many directions are compared.
    """

    needs_equal_width: ClassVar[bool] = False

    rank: Annotated[int, Field(ge=1)] = 4

    def __call__(
        self,
        student: Float[Tensor, "batch channel *space"],
        teacher: Float[Tensor, "batch channel_t *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher, any_width=True)
        own, other = self._root(*voxels(student, where)), self._root(*voxels(teacher, where))
        lengths = _inner(own, own) + _inner(other, other)
        return quotient(lengths - 2 * _inner(own, other), lengths).mean()

    def _root(
        self, values: Float[Tensor, "batch channel voxel"], weight: Float[Tensor, "batch voxel"]
    ) -> Float[Tensor, "batch channel voxel"]:
        """A with A^T A = H: L^-1 F^T, with the Cholesky factor L of F^T F + ||F||^2 / rank."""
        values = values * weight.sqrt()[:, None]
        peak = values.detach().abs().amax((1, 2), keepdim=True)  # the scale is divided out
        values = values / torch.where(peak > 0, peak, 1.0)
        energy = values.square().sum((1, 2))[:, None, None]
        values = values / torch.where(energy > 0, energy, 1.0).sqrt()
        ridge = torch.eye(values.shape[1], dtype=values.dtype, device=values.device) / self.rank
        return torch.linalg.solve_triangular(
            torch.linalg.cholesky(values @ values.mT + ridge), values, upper=False
        )


def _inner(own: Tensor, other: Tensor) -> Tensor:
    """<H, H'> = ||A A'^T||^2 of each sample."""
    return (own @ other.mT).square().sum((1, 2))
