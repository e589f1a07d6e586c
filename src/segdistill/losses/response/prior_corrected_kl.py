"""KL divergence to a teacher that is freed of the class frequencies it was trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from segdistill.losses.reduction import check_pair, voxel_mean
from segdistill.losses.response.probabilities import log_probabilities

RAREST = 1e-6  # a class rarer than this, or absent, counts as this share of the voxels
COUNTED = 1e4  # voxels that the shares are turned into counts of


@dataclass(frozen=True)
class PriorCorrectedKL:
    """T^2 KL(q~ || p), q~_k = w_k q_k / sum_j w_j q_j: a teacher that counts rare classes for more.

    `uniform`: w_k = 1 / prior_k, which turns q into what it were had all classes been equally frequent (DU-KD
    of DUPSA, Zhang et al., 2024; status close: from its abstract). `effective_number`: w_k = (1 - beta) /
    (1 - beta^n_k), the weights of Cui et al. (2019) as in Balanced Knowledge Distillation (Zhang et al., 2021).
    There n_k counts training images; here it is prior_k times 10,000 voxels, whatever the true number, since
    with the millions of a volume every class would have the weight 1 - beta. The scale of w cancels.

    Summed over classes, averaged over voxels and batch. Without a prior all classes are taken as equally
    frequent, and the value is that of `kl`. With one it is 0 where the student says q~, and not at the
    teacher's own q.

    Args:
        temperature: T > 0 of q and p; w is applied after it.
        correction: the weights w.
        beta: in [0, 1), of `effective_number`; 0 corrects nothing, towards 1 it becomes `uniform`.
        class_prior: each class's share of the training voxels, background first; below 1e-6 counts as 1e-6.

    Raises:
        ValueError: shares that are negative or do not sum to 1, or of another number than the channels; fewer
            than two channels.
    """

    by_voxel: ClassVar[bool] = True  # a mean over voxels: several teachers can share each of them

    over_classes: ClassVar[bool] = False  # a prior is of exclusive classes; a region has none in this sense

    temperature: Annotated[float, Field(gt=0)] = 1.0
    correction: Literal["uniform", "effective_number"] = "uniform"
    beta: Annotated[float, Field(ge=0, lt=1)] = 0.999
    class_prior: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        prior = self.class_prior
        if prior is not None and (min(prior, default=0) < 0 or abs(sum(prior) - 1) > 1e-3):
            raise ValueError(f"class_prior is the share of each class and sums to 1, got {prior}")

    def __call__(
        self,
        student: Float[Tensor, "batch class *space"],
        teacher: Float[Tensor, "batch class *space"],
        where: Float[Tensor, "batch 1 *space"] | None = None,
    ) -> Float[Tensor, ""]:
        check_pair(student, teacher, least_channels=2)
        log_student = log_probabilities(student, self.temperature)
        log_teacher = log_probabilities(teacher, self.temperature)
        if self.class_prior is not None:
            log_teacher = log_probabilities(log_teacher + self._log_weights(self.class_prior, log_teacher))
        divergence = (log_teacher.exp() * (log_teacher - log_student)).sum(1)
        return voxel_mean(divergence, where) * self.temperature**2

    def _log_weights(self, class_prior: tuple[float, ...], like: Tensor) -> Tensor:
        """log w, of shape (class, 1, ...), in the type of `like`."""
        if len(class_prior) != like.shape[1]:
            raise ValueError(
                f"class_prior has {len(class_prior)} shares, the maps have {like.shape[1]} channels: "
                "give one share a class, background first"
            )
        prior = torch.tensor(class_prior, dtype=torch.float64).clamp_min(RAREST)
        if self.correction == "uniform":
            weights = 1 / prior
        else:
            log_beta = torch.tensor(self.beta, dtype=torch.float64).log()
            weights = (1 - self.beta) / -torch.expm1(COUNTED * prior * log_beta)
        return weights.log().to(like).view(-1, *[1] * (like.ndim - 2))
