"""How several teachers are combined: what each of them counts, as a whole or voxel by voxel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from segdistill.align import resize

Positive = Annotated[float, Field(gt=0)]
Shares = Mapping[str, float | Tensor]


@dataclass(frozen=True)
class Sum:
    """Every teacher counts fully (Teach-Former)."""

    def __call__(self, answers: Mapping[str, Tensor], scores: Mapping[str, float]) -> Shares:
        return dict.fromkeys(answers, 1.0)


@dataclass(frozen=True)
class Mean:
    """Every teacher counts the same, together 1: a term keeps its size whatever their number."""

    def __call__(self, answers: Mapping[str, Tensor], scores: Mapping[str, float]) -> Shares:
        return dict.fromkeys(answers, 1 / max(len(answers), 1))


@dataclass(frozen=True)
class Validation:
    """In proportion to Dice^power on each teacher's own validation cases, together 1.

    Attributes:
        power: 0 is the mean; the larger, the more the best teacher counts.
    """

    power: Annotated[float, Field(ge=0)] = 1.0

    def __call__(self, answers: Mapping[str, Tensor], scores: Mapping[str, float]) -> Shares:
        powers = {name: scores[name] ** self.power for name in answers}
        total = sum(powers.values())
        return {name: value / total if total else 1 / len(powers) for name, value in powers.items()}


@dataclass(frozen=True)
class Entropy:
    """Voxel by voxel, softmax over the teachers of -entropy / temperature: the surer of them count more.

    The entropy is divided by the logarithm of the teacher's number of classes, so that it lies in [0, 1] and teachers
    who know few classes are not favoured (Kwon et al., 2020, ICASSP, weigh whole samples so). With regions it is the
    mean of each region's.

    Attributes:
        temperature: the smaller, the more the surest counts.
    """

    by_voxel: ClassVar[bool] = True

    temperature: Positive = 0.1

    def __call__(self, answers: Mapping[str, Tensor], scores: Mapping[str, float]) -> Shares:
        return _surest({name: -entropy(p) for name, p in answers.items()}, self.temperature)


@dataclass(frozen=True)
class Confidence:
    """Voxel by voxel, softmax over the teachers of their largest probability / temperature.

    With regions it is the mean of each region's, for or against.

    Attributes:
        temperature: the smaller, the more the most confident counts.
    """

    by_voxel: ClassVar[bool] = True

    temperature: Positive = 0.1

    def __call__(self, answers: Mapping[str, Tensor], scores: Mapping[str, float]) -> Shares:
        return _surest(
            {name: p.amax(2).mean(1, keepdim=True) for name, p in answers.items()}, self.temperature
        )


class Importance(nn.Module):
    """Learned: the teachers' maps are mixed before they are compared, sum_t softmax(pi)_t map_t.

    Inspired by the importance of CMT-KD (Pham et al., 2023), one number a teacher for all terms. With frozen teachers
    the cheapest way down is to listen to the one that is easiest to follow; with peers that are not detached, as there,
    the mixture moves all of them. Maps must be of one width: the projector `interpolation` brings them to the
    student's.

    Attributes:
        names: of the teachers (data-given).
    """

    mixes: ClassVar[bool] = True

    def __init__(self, names: Sequence[str] = ()) -> None:
        super().__init__()
        self.names = list(names)
        self.pi = nn.Parameter(torch.zeros(len(names)))

    def forward(self, answers: Mapping[str, Tensor], scores: Mapping[str, float]) -> Shares:
        known = [name for name in answers if name in self.names]
        shares: dict[str, float | Tensor] = dict.fromkeys(answers, 1.0)  # the student as its own teacher
        if known:
            chosen = self.pi[[self.names.index(name) for name in known]].softmax(0)
            shares |= zip(known, chosen.unbind(0), strict=True)
        return shares


def entropy(probabilities: Tensor) -> Tensor:
    """Entropy over the classes as a share of the largest one: (batch, problem, class, *space) -> (batch, 1, *space)."""
    most = math.log(max(probabilities.shape[2], 2))
    return -torch.special.xlogy(probabilities, probabilities).sum(2).mean(1, keepdim=True) / most


def _surest(figures: Mapping[str, Tensor], temperature: float) -> Shares:
    if not figures:
        return {}
    size = next(iter(figures.values())).shape[2:]
    stacked = torch.stack([resize(figure, size) for figure in figures.values()])
    return dict(zip(figures, (stacked / temperature).softmax(0).unbind(0), strict=True))


COMBINATIONS: dict[str, type] = {
    "sum": Sum,
    "mean": Mean,
    "validation": Validation,
    "entropy": Entropy,
    "confidence": Confidence,
    "importance": Importance,
}
"""A combination: `part(answers, scores) -> {name: share}`.

answers: where the part is `by_voxel`, probabilities (batch, problem, class, *space) of each teacher: one problem of
exclusive classes, or one of two classes for each region that it knows; else only the names matter. scores: validation
Dice of each. A share is a number, or a map (batch, 1, *space): then losses that are means over voxels (`by_voxel`)
weigh each voxel by it, and all others take its mean. Where the part `mixes`, the maps are averaged by the shares first.
"""
