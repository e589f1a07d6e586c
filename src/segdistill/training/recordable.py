"""What to record of each kind of teacher: a network, a source of whole cases, a group of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segdistill.atomic import write_json
from segdistill.data.slices import across, along
from segdistill.errors import SegdistillError
from segdistill.evaluation.sliding_window import strides_of
from segdistill.teachers.cache.build import Asked
from segdistill.teachers.cache.entry import FOLDER, MapSpec, Spec
from segdistill.teachers.identity import of_network, of_text, tells_nothing
from segdistill.teachers.on_grid import FromGroup, FromNetwork, FromSource, case_image
from segdistill.teachers.source import Asking, Source
from segdistill.teachers.teacher import Group, Teacher
from segdistill.training.asked import (
    LOGITS,
    Projected,
    axes_along,
    kept_strides,
    listeners,
    projected,
    stages_asked,
    why_not,
    widths_of,
)
from segdistill.training.prepare import Prepared

SHAPES = "shapes.json"


@dataclass(frozen=True)
class Recordable:
    """What a teacher would be asked, once for each case."""

    spec: Spec
    ask: Asked


class CannotRecord(Exception):
    """Why a teacher has to answer in every step.

    Attributes:
        mend: what to do where it cannot, or is not to.
    """

    def __init__(self, reason: str, mend: str) -> None:
        super().__init__(reason)
        self.mend = mend


def recordable(
    name: str, data: Prepared, student: nn.Module, teacher: Teacher, device: torch.device | str
) -> Recordable:
    """What to record of a teacher.

    Raises:
        CannotRecord: it has to answer in every step.
        SegdistillError: a stage that is not there.
    """
    wanted = data.recipe.knowledge
    if wanted.type == "online":
        raise CannotRecord("knowledge is online", "leave that out")
    if teacher.view is not None:
        raise CannotRecord(
            "its view of the images changes at random (view)", f"leave teachers.{name}.view out"
        )
    asking = Asking(device, wanted.overlap, wanted.mirror, wanted.window_batch)
    stages = stages_asked(listeners(name, data.recipe.terms))
    if teacher.network is not None:
        return _network(name, data, student, teacher, stages, asking)
    assert teacher.whole_cases is not None
    if isinstance(teacher.whole_cases, Group):
        return _group(name, data, student, teacher.whole_cases, stages, asking)
    return _source(name, data, student, teacher, teacher.whole_cases, stages, asking)


def _network(
    name: str, data: Prepared, student: nn.Module, teacher: Teacher, stages: tuple[str, ...], asking: Asking
) -> Recordable:
    if tells_nothing(teacher.module):
        raise _unknown(teacher.module)
    window = teacher.window or data.facts.image_size
    example = torch.zeros(1, len(data.plan.channels), *data.facts.image_size)
    place = next(teacher.module.parameters(), example).device
    seen = teacher.seen(torch.zeros(1, len(data.plan.channels), *window, device=place))
    try:
        theirs = widths_of(teacher.module, seen, stages)
    except SegdistillError as error:
        raise SegdistillError(f"teachers.{name}: {error}") from error
    try:
        strides = strides_of(teacher.module, seen, stages)
    except SegdistillError as error:
        raise CannotRecord(str(error), "let the term listen to another stage") from error
    _can_be_cut(strides, data)
    changes = _changes(name, data, student, example, theirs)
    ask = FromNetwork(
        teacher, data.store, window, strides, asking, data.slices, {k: v.change for k, v in changes.items()}
    )
    whole = {stage: along(data.slices, strides.get(stage, (1,) * len(window))) for stage in (LOGITS, *stages)}
    maps = _specs(whole, theirs, changes)
    identity = of_text(
        of_network(teacher.module, seen.shape[1], window, stages), teacher.inputs, repr(teacher.intensities)
    )
    return Recordable(_spec(data, identity, maps, window), ask)


def _source(
    name: str,
    data: Prepared,
    student: nn.Module,
    teacher: Teacher,
    source: Source,
    stages: tuple[str, ...],
    asking: Asking,
) -> Recordable:
    if source.network is not None and tells_nothing(source.network):
        raise _unknown(source.network)
    channels = teacher.channels or tuple(data.plan.dataset.channels)
    identity = of_text(source.identity(), channels)
    theirs, natural = _shapes(data, source, channels, identity, stages, asking)
    patch = [*data.facts.image_size]
    if data.slices is not None:
        patch.insert(data.slices.axis, 1)
    strides = kept_strides(natural, patch, range(len(patch)))
    _can_be_cut({stage: across(data.slices, stride) for stage, stride in strides.items()}, data)
    example = torch.zeros(1, len(data.plan.channels), *data.facts.image_size)
    changes = _changes(name, data, student, example, theirs)
    ask = FromSource(
        source, channels, data.dataset, data.store, strides, asking, {k: v.change for k, v in changes.items()}
    )
    maps = _specs(strides, theirs, changes)
    return Recordable(_spec(data, identity, maps, None), ask)


def _group(
    name: str, data: Prepared, student: nn.Module, group: Group, stages: tuple[str, ...], asking: Asking
) -> Recordable:
    each = [recordable(name, data, student, one, asking.device) for one in group.members]
    maps = each[0].spec.maps
    learnt = [sorted(one.trained_on) for one in group.members] if group.out_of_fold else None
    identity = of_text([one.spec.identity for one in each], [one.spec.asked for one in each], learnt)
    return Recordable(_spec(data, identity, maps, None), FromGroup(group, tuple(one.ask for one in each)))


def _specs(
    strides: Mapping[str, tuple[int, ...]], theirs: Mapping[str, int], changes: Mapping[str, Projected]
) -> dict[str, MapSpec]:
    """The maps to keep: at the teacher's width, or at the student's."""
    return {
        stage: MapSpec(theirs[stage], stride)
        if stage not in changes
        else MapSpec(changes[stage].width, stride, changes[stage].told)
        for stage, stride in strides.items()
    }


def _spec(data: Prepared, identity: str, maps: Mapping[str, MapSpec], window: tuple[int, ...] | None) -> Spec:
    wanted = data.recipe.knowledge
    asked: dict[str, Any] = {"overlap": wanted.overlap, "mirror": wanted.mirror}
    asked |= {} if window is None else {"window": list(window)}
    asked |= {} if data.slices is None else {"slices": data.slices.axis}
    return Spec(identity, data.store.fingerprint, maps, wanted.logits, asked)


def _changes(
    name: str, data: Prepared, student: nn.Module, example: Tensor, theirs: Mapping[str, int]
) -> dict[str, Projected]:
    """The stages that are kept at the student's width."""
    terms = listeners(name, data.recipe.terms)
    mine = [side for section in terms.values() for side, _ in section.stage_pairs() if isinstance(side, str)]
    seen = example if data.inputs is None else example[:, list(data.inputs)]
    place = next(student.parameters(), torch.zeros(0)).device
    own = widths_of(student, seen.to(place), [stage for stage in dict.fromkeys(mine) if stage != LOGITS])
    return projected(terms, own, theirs, data.facts.spatial_dims)


def _shapes(
    data: Prepared,
    source: Source,
    channels: tuple[str, ...],
    identity: str,
    stages: tuple[str, ...],
    asking: Asking,
) -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
    """Channels of a source's maps, and their strides along the axes of the student's images; found out once."""
    memory = data.store.path / FOLDER / SHAPES
    try:
        remembered = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        remembered = {}
    remembered = remembered if isinstance(remembered, dict) else {}
    key = of_text(identity, stages)
    if key not in remembered:
        smallest = min(data.splits.train, key=lambda case: int(np.prod(data.store.case(case).image.shape)))
        answer = source.answer(case_image(channels, data.dataset, smallest), stages, asking)
        grid = data.store.case(smallest).grid
        along = axes_along(np.linalg.inv(answer.to_original) @ grid.to_original)
        remembered[key] = {
            stage: [int(answer.maps[stage].shape[0]), [int(answer.strides[stage][axis]) for axis in along]]
            for stage in (LOGITS, *stages)
        }
        write_json(memory, remembered)
    told = remembered[key]
    return {stage: told[stage][0] for stage in told}, {stage: tuple(told[stage][1]) for stage in told}


def _unknown(network: nn.Module) -> CannotRecord:
    return CannotRecord(
        f"nothing tells whether {type(network).__name__} has changed: it has no weights and no extra_repr",
        "give it as a torch.nn.Module that says by extra_repr which one it is",
    )


def _can_be_cut(strides: Mapping[str, tuple[int, ...]], data: Prepared) -> None:
    problem = why_not(strides, data)
    if problem is not None:
        stage, reason, mend = problem
        raise CannotRecord(f"{stage}: {reason}", mend)
