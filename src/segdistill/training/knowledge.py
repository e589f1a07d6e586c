"""What trained teachers know of a run's cases: recorded once where that is right and fits, else asked in every step."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from segdistill.data.slices import across
from segdistill.errors import SegdistillError
from segdistill.notes import note
from segdistill.quantity import in_bytes
from segdistill.teachers.cache.build import build
from segdistill.teachers.cache.entry import CannotHold, Entry
from segdistill.teachers.teacher import Group, Teacher
from segdistill.term import Term, check_terms
from segdistill.training.asked import listeners, stages_asked
from segdistill.training.prepare import Prepared
from segdistill.training.recordable import CannotRecord, Recordable, recordable

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
    _see_stages(data, student, teachers)
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
            if ask:
                _ask(name, teacher, entry, found, cases, size, shown=shown)
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
            entries[name] = entry
            notes.append(f"teachers.{name} was asked once about each case; its answers are in {entry.path}")
        sizes = {
            stage: (each.channels, across(data.slices, each.stride))
            for stage, each in found.spec.maps.items()
        }
        known[name] = replace(
            teacher, network=None, inputs=None, intensities=None, whole_cases=None, recorded=sizes
        )
    return Knowledge(known, entries, tuple(notes))


def _see_stages(data: Prepared, student: nn.Module, teachers: Mapping[str, Teacher]) -> None:
    """Raise where a term asks for a stage that is not there, before anybody is asked."""
    terms = {
        name: Term(
            _nothing,
            section.stage_pairs(),  # type: ignore[arg-type]  # lists of stages, where terms have tuples
            teachers=None if section.teachers is None else tuple(section.teachers),
            teacher_is=section.teacher_is,
        )
        for name, section in data.recipe.terms.items()
    }
    looked_at = dict(teachers)
    for name, teacher in teachers.items():
        asked = stages_asked(listeners(name, data.recipe.terms))
        if teacher.whole_cases is not None:  # a source says better what it lacks, when it is asked
            looked_at[name] = replace(teacher, recorded=dict.fromkeys((*asked, "logits"), (1, ())))
        if asked and isinstance(teacher.whole_cases, Group):
            raise SegdistillError(
                f"teachers.{name}: {len(teacher.whole_cases.members)} models have no common {', '.join(asked)}: stage "
                "maps of networks that were trained apart cannot be averaged; let such terms listen to one model"
            )
    try:
        check_terms(terms, student, looked_at)
    except ValueError as error:
        raise SegdistillError(str(error)) from error


def _nothing(*_: object) -> torch.Tensor:
    """In the place of a loss, where only the stages of a term are looked at."""
    return torch.zeros(())


def _ask(
    name: str,
    teacher: Teacher,
    entry: Entry,
    found: Recordable,
    cases: Sequence[str],
    size: int,
    *,
    shown: bool,
) -> None:
    """Ask about every case that is not there yet; the network is then where it was before.

    Raises:
        CannotRecord: an answer cannot be kept as it is.
    """
    entry.begin(name, _told(teacher))
    missing = sum(not entry.has(case) for case in cases)
    if missing and shown:
        note(
            f"teachers.{name} is asked once about {missing} of {len(cases)} cases; its answers take {in_bytes(size)} "
            f"in {entry.path}"
        )
    parameter = None if teacher.network is None else next(teacher.network.parameters(), None)
    place = None if parameter is None else parameter.device
    try:
        build(entry, found.ask, cases, title=f"Asking teachers.{name}")
    except CannotHold as error:
        raise CannotRecord(str(error), "let it answer in every step (knowledge=online)") from error
    finally:
        if teacher.network is not None and place is not None:
            teacher.network.to(place)


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


def _told(teacher: Teacher) -> str:
    """Where a teacher is from, for people."""
    if isinstance(teacher.whole_cases, Group):
        return ", ".join(str(one.source) for one in teacher.whole_cases.members)
    return "a network in Python" if teacher.source is None else str(teacher.source.resolve())
