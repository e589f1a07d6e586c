"""What trained teachers know of a run's cases: recorded once where that is right and fits, else asked in every step."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segdistill.atomic import write_json
from segdistill.errors import SegdistillError
from segdistill.evaluation.sliding_window import strides_of
from segdistill.notes import note
from segdistill.teachers.cache.build import Asked, build
from segdistill.teachers.cache.entry import FOLDER, Entry, MapSpec, Spec
from segdistill.teachers.identity import of_network, of_text
from segdistill.teachers.on_grid import FromGroup, FromNetwork, FromSource, case_image
from segdistill.teachers.source import Asking, Source
from segdistill.teachers.teacher import Group, Teacher
from segdistill.training.prepare import Prepared
from segdistill.training.recordable import (
    LOGITS,
    axes_along,
    kept_strides,
    listeners,
    projected,
    stages_asked,
    why_not,
    widths_of,
)

SHAPES = "shapes.json"
SPARE = 1 << 28
"""Bytes that a cache leaves free on the disk."""


@dataclass(frozen=True)
class Knowledge:
    """How each teacher answers.

    Attributes:
        teachers: as the distiller takes them.
        entries: of those that were recorded.
        notes: what is worth knowing of it, in words.
    """

    teachers: dict[str, Teacher]
    entries: dict[str, Entry] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


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


def knowledge_of(
    data: Prepared,
    student: nn.Module,
    teachers: Mapping[str, Teacher],
    device: torch.device | str = "cpu",
    *,
    ask: bool = True,
    shown: bool = True,
) -> Knowledge:
    """Record what teachers say about every training case, where that is right and fits the disk.

    What was recorded before, by any run, is not asked again. A recording holds whatever the terms ask of the teacher; a
    teacher that has to answer in every step for one term does so for all.

    Args:
        student: on the CPU or any device; its widths are looked at.
        ask: False only looks whether everything fits, and records nothing.
        shown: say on standard error what is asked.

    Raises:
        SegdistillError: a teacher that has to be recorded, or was to be, and cannot; a stage that is not there.
    """
    wanted, left = data.recipe.knowledge, data.recipe.knowledge.disk
    known, entries, notes = dict(teachers), {}, []
    cases = [*data.splits.train, *(data.unlabelled if data.recipe.data.unlabelled else ())]
    for name, teacher in teachers.items():
        terms = listeners(name, data.recipe.terms)
        heard = teacher.weight > 0 and (terms or data.recipe.critic is not None)
        if teacher.learns or (not heard and teacher.network is not None):
            continue
        try:
            found = recordable(name, data, student, teacher, device)
            size = sum(found.spec.bytes_of(data.store.case(case).image.shape[1:]) for case in cases)
            if size > left:
                raise CannotRecord(
                    f"its answers for {len(cases)} cases take {in_bytes(size)}, {in_bytes(left)} are left of "
                    "knowledge.disk",
                    "raise that, or say knowledge.logits=uint8",
                )
            entry = Entry.at(data.store.path, name, found.spec)
            _fits_the_disk(entry, data, cases)
        except CannotRecord as reason:
            if teacher.network is None:
                raise SegdistillError(
                    f"teachers.{name} answers for whole cases alone ({teacher.apart}), and {reason}; {reason.mend}"
                ) from None
            if wanted.type == "cached":
                raise SegdistillError(
                    f"knowledge: teachers.{name} cannot be cached: {reason}; {reason.mend}, or say knowledge=auto"
                ) from None
            told = f" for terms.{', terms.'.join(terms)}" if terms else ""
            notes.append(f"teachers.{name} answers in every step{told}: {reason}")
            _takes_patches(name, teacher, data)
            continue
        left -= size
        if ask:
            entries[name] = entry.begin(name, _told(teacher))
            missing = sum(not entry.has(case) for case in cases)
            if missing and shown:
                note(
                    f"teachers.{name} is asked once about {missing} of {len(cases)} cases; its answers take "
                    f"{in_bytes(size)} in {entry.path}"
                )
            build(entry, found.ask, cases, title=f"Asking teachers.{name}")
            notes.append(f"teachers.{name} was asked once about each case; its answers are in {entry.path}")
        slices = data.slices
        sizes = {
            stage: (
                each.channels,
                tuple(n for axis, n in enumerate(each.stride) if slices is None or axis != slices.axis),
            )
            for stage, each in found.spec.maps.items()
        }
        known[name] = replace(
            teacher, network=None, inputs=None, intensities=None, whole_cases=None, recorded=sizes
        )
    return Knowledge(known, entries, tuple(notes))


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
    window = teacher.window or data.facts.image_size
    example = torch.zeros(1, len(data.plan.channels), *data.facts.image_size)
    seen = teacher.seen(torch.zeros(1, len(data.plan.channels), *window))
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
    maps = {
        stage: MapSpec(
            changes[stage].width if stage in changes else theirs[stage],
            _with_slices(strides.get(stage, (1,) * len(window)), data),
            changes[stage].told if stage in changes else None,
        )
        for stage in (LOGITS, *stages)
    }
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
    channels = teacher.channels or tuple(data.plan.dataset.channels)
    identity = of_text(source.identity(), channels)
    theirs, natural = _shapes(data, source, channels, identity, stages, asking)
    patch = [*data.facts.image_size]
    if data.slices is not None:
        patch.insert(data.slices.axis, 1)
    strides = kept_strides(natural, patch, range(len(patch)))
    _can_be_cut({stage: _without_slices(stride, data) for stage, stride in strides.items()}, data)
    example = torch.zeros(1, len(data.plan.channels), *data.facts.image_size)
    changes = _changes(name, data, student, example, theirs)
    ask = FromSource(
        source, channels, data.dataset, data.store, strides, asking, {k: v.change for k, v in changes.items()}
    )
    maps = {
        stage: MapSpec(
            changes[stage].width if stage in changes else theirs[stage],
            stride,
            changes[stage].told if stage in changes else None,
        )
        for stage, stride in strides.items()
    }
    return Recordable(_spec(data, identity, maps, None), ask)


def _group(
    name: str, data: Prepared, student: nn.Module, group: Group, stages: tuple[str, ...], asking: Asking
) -> Recordable:
    if stages:
        raise SegdistillError(
            f"teachers.{name}: {len(group.members)} models have no common {', '.join(stages)}: stage maps of networks "
            "that were trained apart cannot be averaged; let such terms listen to one model"
        )
    each = [recordable(name, data, student, one, asking.device) for one in group.members]
    maps = each[0].spec.maps
    learnt = [sorted(one.trained_on) for one in group.members] if group.out_of_fold else None
    identity = of_text([one.spec.identity for one in each], [one.spec.asked for one in each], learnt)
    return Recordable(_spec(data, identity, maps, None), FromGroup(group, tuple(one.ask for one in each)))


def _spec(data: Prepared, identity: str, maps: Mapping[str, MapSpec], window: tuple[int, ...] | None) -> Spec:
    wanted = data.recipe.knowledge
    asked: dict[str, Any] = {"overlap": wanted.overlap, "mirror": wanted.mirror}
    asked |= {} if window is None else {"window": list(window)}
    asked |= {} if data.slices is None else {"slices": data.slices.axis}
    return Spec(identity, data.store.fingerprint, maps, wanted.logits, asked)


def _changes(
    name: str, data: Prepared, student: nn.Module, example: Tensor, theirs: Mapping[str, int]
) -> dict[str, Any]:
    """The stages that are kept at the student's width."""
    terms = listeners(name, data.recipe.terms)
    mine = [side for section in terms.values() for side, _ in section.stage_pairs() if isinstance(side, str)]
    seen = example if data.inputs is None else example[:, list(data.inputs)]
    place = next(student.parameters(), torch.zeros(0)).device
    own = widths_of(student, seen.to(place), [stage for stage in dict.fromkeys(mine) if stage != LOGITS])
    return dict(projected(terms, own, theirs, data.facts.spatial_dims))


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


def _can_be_cut(strides: Mapping[str, tuple[int, ...]], data: Prepared) -> None:
    problem = why_not(strides, data)
    if problem is not None:
        stage, reason, mend = problem
        raise CannotRecord(f"{stage}: {reason}", mend)


def _with_slices(stride: tuple[int, ...], data: Prepared) -> tuple[int, ...]:
    """A stride along the axes of a patch, along those of the stored images."""
    if data.slices is None:
        return stride
    return (*stride[: data.slices.axis], 1, *stride[data.slices.axis :])


def _without_slices(stride: tuple[int, ...], data: Prepared) -> tuple[int, ...]:
    axis = None if data.slices is None else data.slices.axis
    return tuple(n for k, n in enumerate(stride) if k != axis)


def _takes_patches(name: str, teacher: Teacher, data: Prepared) -> None:
    """Raise where a network is made for one size of patches, and the student's are of another."""
    fixed = getattr(teacher.network, "image_size", None)
    if fixed is not None and tuple(fixed) != data.facts.image_size:
        raise SegdistillError(
            f"teachers.{name}: {type(teacher.network).__name__} is made for patches of {list(fixed)}, the recipe has "
            f"data.patch_size {list(data.facts.image_size)}; use the teacher's size, or knowledge=cached"
        )


def _fits_the_disk(entry: Entry, data: Prepared, cases: list[str]) -> None:
    missing = [case for case in cases if not entry.has(case)]
    needed = sum(entry.spec.bytes_of(data.store.case(case).image.shape[1:]) for case in missing)
    free = shutil.disk_usage(data.store.path).free - SPARE
    if needed > free:
        raise CannotRecord(
            f"its answers for {len(missing)} cases take {in_bytes(needed)}, {in_bytes(max(free, 0))} are free on the "
            f"disk of {data.store.path}",
            "free some (`segdistill cache prune`), or name another disk by data.store",
        )


def in_bytes(count: float) -> str:
    """A number of bytes for people, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:  # what is not rounded up to the next unit
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _told(teacher: Teacher) -> str:
    """Where a teacher is from, for people."""
    if isinstance(teacher.whole_cases, Group):
        return ", ".join(str(one.source) for one in teacher.whole_cases.members)
    return "a network in Python" if teacher.source is None else str(teacher.source.resolve())
