"""Which maps the terms of a recipe ask of a teacher, at which width, and whether they can be cut from a recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from math import gcd
from typing import Any

import torch
from torch import Tensor, nn

from segdistill.data.augmentation import Augmentation
from segdistill.errors import SegdistillError
from segdistill.evaluation.sliding_window import evaluating
from segdistill.networks.domains import ask
from segdistill.networks.stages import catch, first_output
from segdistill.parts import build
from segdistill.projectors import PROJECTORS
from segdistill.sections.objective import TermSection
from segdistill.training.prepare import Prepared

Change = Callable[[Tensor], Tensor]
LOGITS = "logits"


@dataclass(frozen=True)
class Projected:
    """A map whose channels are interpolated before it is kept, as the terms would do in every step."""

    told: str
    change: Change
    width: int


def listeners(name: str, terms: Mapping[str, TermSection]) -> dict[str, TermSection]:
    """The terms that listen to a teacher."""
    return {
        term: section
        for term, section in terms.items()
        if section.teacher_is is None and (section.teachers is None or name in section.teachers)
    }


def stages_asked(terms: Mapping[str, TermSection]) -> tuple[str, ...]:
    """The stages that terms ask of a teacher, without its logits, which are always told."""
    sides = [other for section in terms.values() for _, other in section.stage_pairs()]
    names = [name for side in sides for name in ([side] if isinstance(side, str) else side)]
    return tuple(dict.fromkeys(name for name in names if name != LOGITS))


def widths_of(network: nn.Module, example: Tensor, stages: Sequence[str]) -> dict[str, int]:
    """Channels of each stage, and of the logits."""
    try:
        with evaluating(network), torch.no_grad(), catch(network, stages) as maps:
            logits = first_output(ask(network, example, None))
    except ValueError as error:
        raise SegdistillError(str(error)) from error
    return {LOGITS: logits.shape[1]} | {name: maps[name].shape[1] for name in stages}


def projected(
    terms: Mapping[str, TermSection], own: Mapping[str, int], theirs: Mapping[str, int], dims: int
) -> dict[str, Projected]:
    """The stages that all terms bring to one width by a fixed interpolation: these are kept at that width.

    Args:
        own, theirs: channels of the student's and the teacher's stages.
    """
    wanted: dict[str, set[tuple[int, str]]] = {}
    for section in terms.values():
        part = section.projector or {}
        fixed = part.get("type") == "interpolation" and part.get("side") == "teacher"
        for mine, other in section.stage_pairs():
            for name in [other] if isinstance(other, str) else other:
                alone = fixed and isinstance(other, str) and isinstance(mine, str)
                width = own[mine] if alone and isinstance(mine, str) else theirs[name]
                wanted.setdefault(name, set()).add((width, str(part["mode"]) if alone else ""))
    found = {}
    for name, ways in wanted.items():
        width, mode = next(iter(ways))
        if name != LOGITS and len(ways) == 1 and mode and width != theirs[name]:
            made = build(
                PROJECTORS, {"type": "interpolation", "mode": mode}, name,
                student_width=width, teacher_width=theirs[name], spatial_dims=dims,
            )  # fmt: skip
            found[name] = Projected(
                f"interpolation, {mode}, {theirs[name]} to {width}", partial(_second, made), width
            )
    return found


def _second(projector: nn.Module, feature: Tensor) -> Tensor:
    """The teacher's map after a projector that looks at no map of the student's."""
    projector = projector.to(feature.device)
    return projector(feature, feature)[1]


def why_not(strides: Mapping[str, Sequence[int]], data: Prepared) -> tuple[str, str, str] | None:
    """The first stage whose maps at these strides cannot be cut from a recording, why, and what to do; None: all can.

    Args:
        strides: by stage, along the axes of a patch.
    """
    patch, settings = data.facts.image_size, data.recipe.data.augmentation
    augmentation = None if settings is None else Augmentation(**settings)
    for name, stride in strides.items():
        if any(side % step for side, step in zip(patch, stride, strict=True)):
            return (
                name,
                f"patches {list(patch)} are no multiple of its stride {list(stride)}",
                "choose such a data.patch_size",
            )
        if augmentation is None or max(stride) == 1:
            continue
        if not augmentation.on_grid:
            return (
                name,
                "small rotations and scaling (data.augmentation.affine) cannot be done on a map of stride "
                f"{max(stride)}",
                "say data.augmentation.affine=0",
            )
        planes = combinations(range(len(patch)), 2)
        uneven = any(patch[a] == patch[b] and stride[a] != stride[b] for a, b in planes)
        if augmentation.rotate90 and uneven:
            return (
                name,
                f"quarter turns (data.augmentation.rotate90) do not fit its stride {list(stride)}",
                "say data.augmentation.rotate90=0",
            )
    return None


def kept_strides(
    strides: Mapping[str, Sequence[int]], patch: Sequence[int], axes: Sequence[int]
) -> dict[str, tuple[int, ...]]:
    """Strides on the student's grid at which to keep maps that are brought to it anyway: fractions of a patch.

    Args:
        strides: along the axes of the teacher's grid.
        axes: for each axis of the student's images, the one of the teacher's grid that runs along it.
    """
    return {
        name: tuple(gcd(int(stride[axis]), side) for axis, side in zip(axes, patch, strict=True))
        for name, stride in strides.items()
    }


def axes_along(matrix: Any) -> tuple[int, ...]:
    """For each axis of the grid that a homogeneous matrix leads from, the axis of the other that runs along it."""
    linear = abs(matrix[:-1, :-1])
    return tuple(int(linear[:, axis].argmax()) for axis in range(linear.shape[1]))
