"""A recipe's teachers: runs, networks of the caller's own, peers and moving averages."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from segdistill.errors import SegdistillError
from segdistill.model import build_network
from segdistill.parts import unknown
from segdistill.teachers import own_run
from segdistill.teachers.average import Average
from segdistill.teachers.peer import Peer
from segdistill.teachers.teacher import Teacher
from segdistill.teachers.view import View
from segdistill.training.prepare import Prepared


def as_teacher(
    name: str, data: Prepared, student: nn.Module, given: nn.Module | Teacher | None
) -> Teacher:  # fmt: skip
    """The teacher of that name: the caller's own network, the run that the recipe names, a peer or a moving average."""
    section, plan = data.recipe.teachers[name], data.plan
    if isinstance(given, Teacher):
        return given
    view = None if section.view is None else View(**section.view)
    if section.average is not None:
        average = Average(section.average.momentum, section.average.final)
        return Teacher(copy.deepcopy(student), section.weight, inputs=data.inputs, view=view, average=average)
    place = f"teachers.{name}"
    named = (section.network or {}).get("inputs")
    inputs = None if named is None else plan.numbers_of(named, f"{place}.network.inputs")
    if section.peer is not None:
        peer = Peer(
            section.peer.detach, None if section.peer.site is None else _site(section.peer.site, data, place)
        )
        if given is None and section.network is None:
            if data.recipe.student["type"] == "python":
                raise SegdistillError(
                    f"{place}.network: is required, since the student is a network of your own"
                )
            given, inputs = build_network(data.recipe.student, data.facts, f"{place}.network"), data.inputs
        if given is None:
            given = network_of(section.network or {}, data, f"{place}.network")
        return Teacher(given, section.weight, inputs=inputs, view=view, peer=peer)
    if given is not None:
        classes = section.classes
        labels = None if classes is None else own_run.label_map(
            plan, _named(classes), plan.regions, classes, f"{place}.classes", Path(name)
        )  # fmt: skip
        return Teacher(given, section.weight, inputs=inputs, labels=labels, view=view)
    if section.run is None:
        raise SegdistillError(f"{place}.run: is required (the folder of a run, from `segdistill train`)")
    teacher = own_run.load(
        section.run, plan, data.facts, name=name, weight=section.weight, classes=section.classes
    )
    return replace(teacher, view=view)


def network_of(part: Mapping[str, Any], data: Prepared, place: str) -> nn.Module:
    """A network for these data, which may see other image channels than the student."""
    named = part.get("inputs")
    channels = len(data.plan.channels if named is None else data.plan.numbers_of(named, f"{place}.inputs"))
    return build_network(part, replace(data.facts, in_channels=channels), place)


def _named(classes: list[str] | dict[str, Any]) -> list[str]:
    """The classes of a network that comes without a record: those that are named, in this order."""
    names = classes.values() if isinstance(classes, dict) else classes
    flat = [name for each in names for name in ([each] if isinstance(each, str) else each)]
    return list(dict.fromkeys(flat))


def _site(name: str, data: Prepared, place: str) -> int:
    known = data.training_sites
    if name not in known:
        raise SegdistillError(
            f"{place}.peer.site: {unknown(name, known)}; data.sites finds them in the cases' names"
        )
    return known.index(name)
