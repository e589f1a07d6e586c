"""A recipe's teachers: trained models from anywhere, networks of the caller's own, peers and moving averages."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segdistill.data.plan import Plan, make_plan
from segdistill.errors import SegdistillError
from segdistill.model import build_network
from segdistill.networks.domains import domains_of
from segdistill.parts import unknown
from segdistill.sections.teacher import TeacherSection
from segdistill.teachers import own_run
from segdistill.teachers.average import Average
from segdistill.teachers.inspection import named_by_shape
from segdistill.teachers.peer import Peer
from segdistill.teachers.planned import Planned
from segdistill.teachers.source import Source
from segdistill.teachers.teacher import Group, Teacher
from segdistill.teachers.view import View
from segdistill.training.asked import listeners, stages_asked
from segdistill.training.folds import as_one
from segdistill.training.prepare import Prepared, workers

Given = nn.Module | Teacher | Source | Callable[[Tensor], Tensor]
"""What a caller may give as a teacher: a module, a source of answers for whole cases, or a function of images."""


def teachers_of(
    data: Prepared, student: nn.Module, given: Mapping[str, Given] | None = None, *, trust: bool = False
) -> dict[str, Teacher]:
    """All teachers of a recipe, by name.

    Args:
        given: by name what the caller brings, instead of what the recipe names.
        trust: let files that teachers come from run code.

    Raises:
        SegdistillError: a teacher that is not there, or does not fit the data; the place in the recipe is named.
    """
    found = {
        name: as_teacher(name, data, student, (given or {}).get(name), trust=trust)
        for name in data.recipe.teachers
    }
    for name, teacher in found.items():
        sites = 1 if teacher.learns else _sites_of(teacher)
        if sites > 1:
            raise SegdistillError(
                f"teachers.{name}: its network adapts to {sites} sites, and a teacher from a run is not told the site "
                "of an image; use one of domains: 1"
            )
    return found


def _sites_of(teacher: Teacher) -> int:
    """The most sites that a network of a teacher adapts to."""
    if isinstance(teacher.whole_cases, Group):
        return max(map(_sites_of, teacher.whole_cases.members))
    network = teacher.network if teacher.whole_cases is None else teacher.whole_cases.network
    return 1 if network is None else domains_of(network)


def as_teacher(
    name: str, data: Prepared, student: nn.Module, given: Given | None, *, trust: bool = False
) -> Teacher:
    """The teacher of that name: the caller's own, the model that the recipe names, a peer or a moving average."""
    section, plan = data.recipe.teachers[name], data.plan
    if isinstance(given, Teacher):
        return given
    view = None if section.view is None else View(**section.view)
    if section.sees is not None and not section.frozen:
        raise SegdistillError(
            f"teachers.{name}.sees: is for a trained teacher; a peer is told its image channels by network.inputs, a "
            "moving average sees what the student sees"
        )
    if section.average is not None:
        average = Average(section.average.momentum, section.average.final)
        return Teacher(copy.deepcopy(student), section.weight, inputs=data.inputs, view=view, average=average)
    place = f"teachers.{name}"
    if section.peer is not None:
        return _peer(section, data, given, place, view)
    if given is not None:
        return replace(_of_caller(given, section, data, name), view=view)
    if section.path is not None:
        models = _opened(section, place, trust)
        members = [
            replace(_brought(model, path, section, data, f"{place}.path"), weight=section.weight)
            for path, model in models
        ]
        return replace(as_one(members, section, data, f"{place}.folds"), view=view)
    if section.run is None:
        raise SegdistillError(
            f"{place}.run: is required (the folder of a run, from `segdistill train`), or {place}.path (a trained "
            "model of any other kind: `segdistill list sources`)"
        )
    if section.sees is not None:
        run = Path(section.run)
        brought = _brought(own_run.OwnRun().open(run), run, section, data, f"{place}.run")
        return replace(brought, weight=section.weight, view=view)
    teacher = own_run.load(
        section.run, plan, data.facts, place=f"{place}.run", slices=data.slices, weight=section.weight,
        classes=section.classes,
    )  # fmt: skip
    return replace(teacher, view=view)


def _peer(
    section: TeacherSection, data: Prepared, given: Given | None, place: str, view: View | None
) -> Teacher:
    assert section.peer is not None
    named = (section.network or {}).get("inputs")
    inputs = None if named is None else data.plan.numbers_of(named, f"{place}.network.inputs")
    site = None if section.peer.site is None else _site(section.peer.site, data, place)
    if given is None and section.network is None:
        if data.recipe.student["type"] == "python":
            raise SegdistillError(f"{place}.network: is required, since the student is a network of your own")
        given, inputs = build_network(data.recipe.student, data.facts, f"{place}.network"), data.inputs
    if given is None:
        given = network_of(section.network or {}, data, f"{place}.network")
    if not isinstance(given, nn.Module):
        raise SegdistillError(f"{place}.peer: a peer is trained, so it has to be a torch.nn.Module")
    return Teacher(given, section.weight, inputs=inputs, view=view, peer=Peer(section.peer.detach, site))


def _opened(section: TeacherSection, place: str, trust: bool) -> list[tuple[Path, Source | nn.Module]]:
    """Every model at the teacher's paths; of one that has folds, each by itself where `folds` is said."""
    from segdistill.parts import build
    from segdistill.teachers.sources import SOURCES, kind_of, opened, spread_out

    found: list[tuple[Path, Source | nn.Module]] = []
    for path in spread_out(section.paths, f"{place}.path"):
        part = section.source or {"type": kind_of(path, f"{place}.path")}
        made = build(SOURCES, part, f"{place}.source")
        if section.folds is not None and hasattr(made, "each_fold"):
            found += [(path, one.open(path, trust=trust)) for one in made.each_fold(path)]
        else:
            found.append((path, opened(path, part, f"{place}.path", trust=trust)))
    return found


def _of_caller(given: Given, section: TeacherSection, data: Prepared, name: str) -> Teacher:
    assert not isinstance(given, Teacher)
    model = given if isinstance(given, nn.Module | Source) else Function(given)
    return replace(_brought(model, None, section, data, f"teachers.{name}"), weight=section.weight)


def _brought(
    model: Source | nn.Module, path: Path | None, section: TeacherSection, data: Prepared, place: str
) -> Teacher:
    """A model as a teacher for these data: its channels and classes found among those of the student."""
    plan, named = data.plan, path or Path(place)
    about = place if path is None else place.rpartition(".")[0]
    if isinstance(model, Planned) and section.sees is None and path is not None:
        return own_run.load(path, plan, data.facts, place=place, slices=data.slices, classes=section.classes)
    sees, bare = section.sees, isinstance(model, nn.Module)
    if not bare and sees is not None and (sees.spacing or sees.channels or sees.patch_size):
        raise SegdistillError(
            f"{about}.sees: {named} says by itself how it sees images; leave spacing, channels and patch_size out"
        )
    wanted = (section.network or {}).get("inputs") if sees is None else sees.inputs
    if (
        isinstance(model, nn.Module)
        and sees is not None
        and (sees.spacing or sees.channels or sees.patch_size)
    ):
        theirs, window = _plan_of(section, data, about), tuple(sees.patch_size or data.facts.image_size)
        if len(window) != len(data.facts.image_size):
            raise SegdistillError(
                f"{about}.sees.patch_size: {list(window)} has {len(window)} numbers, patches have "
                f"{len(data.facts.image_size)} axes"
            )
        _named_stages(model, about, data, len(theirs.channels), window)
        model = Planned(model, theirs, window, data.slices)
        wanted = list(model.channels)
    known = list(plan.dataset.channels)
    if isinstance(model, nn.Module):
        model.eval()
        classes = _named(section.classes) if section.classes else plan.classes
        labels = own_run.label_map(plan, classes, plan.regions, section.classes, f"{about}.classes", named)
        inputs = None if wanted is None else plan.numbers_of(wanted, f"{about}.sees.inputs")
        seen = len(plan.channels if inputs is None else inputs)
        _named_stages(model, about, data, seen, data.facts.image_size)
        return Teacher(model, source=path, inputs=inputs, labels=labels)
    channels = wanted or list(model.channels or known)
    if model.channels is not None and len(channels) != len(model.channels):
        raise SegdistillError(
            f"{about}.sees.inputs: {len(channels)} channels, where {named} sees {len(model.channels)} "
            f"({', '.join(model.channels)})"
        )
    for channel in channels:
        if channel not in known:
            raise SegdistillError(
                f"{place}: {named} sees the image channel {channel!r}, the data have {', '.join(known)}; say by "
                f"{about}.sees.inputs=[...] which of them it is to see, in its order "
                f"({', '.join(model.channels or known)})"
            )
    told = None if bare else model.classes  # the plan that a bare network was given has the student's
    labels = own_run.label_map(
        plan,
        told or (_named(section.classes) if section.classes else plan.classes),
        model.regions if told else plan.regions,
        section.classes,
        f"{about}.classes",
        named,
    )
    return Teacher(
        None, source=path, labels=labels, score=model.score, trained_on=tuple(model.trained_on), whole_cases=model,
        channels=tuple(channels), apart="it has its own preprocessing",
    )  # fmt: skip


def _named_stages(
    network: nn.Module, place: str, data: Prepared, channels: int, window: Sequence[int]
) -> None:
    """Name the stages of a network that has named none, where a term asks for one."""
    if stages_asked(listeners(place.removeprefix("teachers."), data.recipe.terms)):
        named_by_shape(network, torch.zeros(getattr(network, "batch_size", None) or 1, channels, *window))


def _plan_of(section: TeacherSection, data: Prepared, place: str) -> Plan:
    """How a network without a record sees the images: the recipe's own way, but for what `sees` says."""
    sees, own = section.sees, data.recipe.data
    assert sees is not None
    plan = make_plan(
        data.dataset,
        spacing=sees.spacing or data.plan.spacing,
        crop=own.crop,
        channels={**own.channels, **sees.channels},
        interpolation=own.interpolation,
        label_interpolation=own.label_interpolation,
        statistics_cases=data.splits.train,
        workers=workers(data.recipe),
    )
    return plan if sees.inputs is None else plan.seen_by(plan.numbers_of(sees.inputs, f"{place}.sees.inputs"))


class Function(nn.Module):
    """A function of images as a network: it has no weights and no stage but its logits."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, image: Tensor) -> Tensor:
        """(batch, channel, *space) -> (batch, class, *space)."""
        return self.function(image)


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
