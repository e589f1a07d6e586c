"""From a recipe and its data to a distiller."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from segdistill.critic import Critic
from segdistill.data.plan import Plan
from segdistill.distiller import Distiller
from segdistill.errors import SegdistillError
from segdistill.losses import LOSSES, SEGMENTATION_LOSSES
from segdistill.model import Facts, build_network
from segdistill.networks.domains import domains_of
from segdistill.networks.stages import first_output
from segdistill.parts import build, class_of
from segdistill.phases import Phase, spread
from segdistill.projectors import PROJECTORS
from segdistill.recipe import Recipe
from segdistill.schedules import WEIGHTS, Constant
from segdistill.sections.objective import Stages, TermSection
from segdistill.teachers.combination import COMBINATIONS
from segdistill.teachers.teacher import Teacher
from segdistill.term import Stage, Term
from segdistill.training.prepare import Prepared, class_prior
from segdistill.training.teachers import Given, teachers_of
from segdistill.where import WHERE


def assemble(
    data: Prepared,
    *,
    student: nn.Module | None = None,
    teachers: Mapping[str, Given] | None = None,
    device: torch.device | None = None,
) -> Distiller:
    """Build the student, load the teachers and join them by the recipe's terms; all teachers answer in every step.

    Args:
        data: prepared, with the recipe settled for it.
        student, teachers: networks of the caller's own, instead of what the recipe names.

    Raises:
        SegdistillError: a part, stage, size or teacher that does not fit; the place in the recipe is named.
    """
    student = student_of(data, student)
    return joined(data, student, teachers_of(data, student, teachers), device)


def student_of(data: Prepared, given: nn.Module | None = None) -> nn.Module:
    """The recipe's student with the weights of its seed, or the caller's own."""
    torch.manual_seed(data.recipe.train.seed)
    return build_network(data.recipe.student, data.facts, "student") if given is None else given


def joined(
    data: Prepared,
    student: nn.Module,
    known: Mapping[str, Teacher],
    device: torch.device | None = None,
) -> Distiller:
    """Student and teachers, whose answers may be recorded, joined by the recipe's terms.

    Raises:
        SegdistillError: a part, stage or size that does not fit; the place in the recipe is named.
    """
    recipe, plan, facts = data.recipe, data.plan, data.facts
    if recipe.combine["type"] == "validation":
        _scores_known(known)
    student.to(device)
    for name, teacher in known.items():
        if teacher.network is not None:
            teacher.network.to(device)
        elif teacher.recorded is None:
            raise SegdistillError(
                f"teachers.{name} answers for whole cases alone ({teacher.apart}): it has to be recorded first"
            )
    example = torch.zeros(1, len(plan.channels), *facts.image_size, device=device)
    _takes(
        student,
        example if data.inputs is None else example[:, list(data.inputs)],
        "student",
        facts.out_channels,
    )
    for name, teacher in known.items():
        if teacher.network is not None:
            seen = example if teacher.inputs is None else example[:, list(teacher.inputs)]
            _takes(teacher.network, seen, f"teachers.{name}", None if teacher.labels else facts.out_channels)
    _adapts_to_the_sites(student, known, data)
    given = _given(data, known)
    _samples_enough(recipe)
    try:
        return Distiller(
            student,
            known,
            segmentation=supervised(recipe, plan),
            terms={name: term(name, section, given) for name, section in recipe.terms.items()},
            segmentation_weight=recipe.segmentation.weight,
            head_weights=recipe.segmentation.head_weights,
            regions=plan.regions,
            example=example,
            inputs=data.inputs,
            combine=build(COMBINATIONS, recipe.combine, "combine", names=tuple(recipe.teachers)),
            phases=phases(recipe),
            critic=critic(recipe, known, facts),
        ).to(device)
    except ValueError as error:
        raise SegdistillError(str(error)) from error


def _adapts_to_the_sites(student: nn.Module, teachers: Mapping[str, Teacher], data: Prepared) -> None:
    """Raise unless networks that adapt to sites, and learn, have as many as there are."""
    found = data.training_sites
    learning = {f"teachers.{name}": t.module for name, t in teachers.items() if t.learns}
    for place, network in {"student": student, **learning}.items():
        wanted = domains_of(network)
        if wanted not in (1, len(found)):
            there = (
                f"finds {len(found)}: {', '.join(found[:6])}" if found else "is not set, so there are none"
            )
            raise SegdistillError(
                f"{place}.domains: the network adapts to {wanted} sites, and data.sites, a regular expression that "
                f"finds a case's site in its name, {there}; make them agree, or use domains: 1"
            )


def phases(recipe: Recipe) -> list[Phase]:
    """The recipe's phases, with their epochs."""
    bounds = spread([phase.share for phase in recipe.phases], recipe.train.epochs) if recipe.phases else []
    return [
        Phase(
            section.name, first, last, None if section.terms is None else tuple(section.terms),
            section.segmentation, section.student, section.reconstruction,
        )
        for section, (first, last) in zip(recipe.phases, bounds, strict=True)
    ]  # fmt: skip


def critic(recipe: Recipe, teachers: Mapping[str, Teacher], facts: Facts) -> tuple[Critic, float] | None:
    """The recipe's critic and the weight of what it says."""
    section = recipe.critic
    if section is None:
        return None
    for name, teacher in teachers.items():
        if teacher.labels is not None or teacher.peer is not None:
            raise SegdistillError(
                f"critic: teachers.{name} {'is a peer' if teacher.peer else 'knows other classes than the student'}; "
                "a critic compares the answers of trained teachers for the same classes"
            )
    try:
        made = Critic(facts.out_channels, facts.spatial_dims, section.width, section.layers, section.penalty)
        with torch.no_grad():
            made.score(torch.zeros(1, facts.out_channels, *facts.image_size))
    except (ValueError, RuntimeError) as error:
        raise SegdistillError(
            f"critic.layers: {section.layers} do not fit patches of {list(facts.image_size)} ({error}); use fewer"
        ) from error
    return made, section.weight


def _given(data: Prepared, teachers: Mapping[str, Teacher]) -> dict[str, Any]:
    """What losses and weights may ask of the data; the shares of the classes are counted only if one does."""
    given: dict[str, Any] = {"regions": data.plan.regions}
    for name, section in data.recipe.terms.items():
        part = class_of(LOSSES[section.loss["type"]])
        if "class_prior" in inspect.signature(part).parameters:
            if data.plan.regions:
                raise SegdistillError(
                    f"terms.{name}.loss: {section.loss['type']} is for exclusive classes, and these data have "
                    "overlapping regions"
                )
            heard = [
                t for t, teacher in teachers.items() if teacher.labels and t in (section.teachers or teachers)
            ]
            if heard:
                raise SegdistillError(
                    f"terms.{name}.loss: {section.loss['type']} corrects by the shares of the student's classes, and "
                    f"teachers.{heard[0]} knows others; let the term listen to teachers of the same classes"
                )
            given["class_prior"] = class_prior(data.store, data.splits.train, data.plan.out_channels)
    return given


def _samples_enough(recipe: Recipe) -> None:
    """See that losses which compare the samples of a batch have some to compare."""
    train = recipe.train
    at_once = recipe.data.batch_size // (train.devices * train.nodes * train.accumulate)
    for name, section in recipe.terms.items():
        least = getattr(LOSSES[section.loss["type"]].part, "least_samples", 1)
        if at_once < least:
            raise SegdistillError(
                f"terms.{name}.loss: {section.loss['type']} compares the samples of a batch and needs {least}; "
                f"data.batch_size {recipe.data.batch_size} over devices and train.accumulate leaves {at_once}"
            )


def _scores_known(teachers: Mapping[str, Teacher]) -> None:
    for name, teacher in teachers.items():
        if teacher.score is None:
            raise SegdistillError(
                f"combine: teachers.{name} has no validation score (only runs have one); "
                "use combine=mean, or its weight"
            )


def supervised(recipe: Recipe, plan: Plan) -> Callable[[Tensor, Tensor], Tensor]:
    """The segmentation loss of the recipe."""
    return build(SEGMENTATION_LOSSES, recipe.segmentation.loss, "segmentation.loss", regions=plan.regions)


def term(name: str, section: TermSection, given: Mapping[str, Any]) -> Term:
    """A term of the recipe as an object.

    Args:
        given: what parts may ask of the data.
    """
    weight = section.weight
    projector, always = None, False
    if section.projector is not None:
        place = f"terms.{name}.projector"
        projector = partial(build, PROJECTORS, section.projector, place)
        always = PROJECTORS[section.projector["type"]].always or section.projector.get("redraw", False)
    return Term(
        loss=build(LOSSES, section.loss, f"terms.{name}.loss", **given),
        pairs=[(_stage(own), _stage(other)) for own, other in section.stage_pairs()],
        weight=build(WEIGHTS, weight, f"terms.{name}.weight")
        if isinstance(weight, dict)
        else Constant(weight),
        teachers=None if section.teachers is None else tuple(section.teachers),
        teacher_is=section.teacher_is,
        where=None if section.where is None else build(WHERE, section.where, f"terms.{name}.where", **given),
        resize=section.resize,
        projector=projector,
        project_always=always,
    )


def _stage(stages: Stages) -> Stage:
    return stages if isinstance(stages, str) else tuple(stages)


def _takes(network: nn.Module, example: Tensor, place: str, expected: int | None) -> None:
    """Run a network once on an empty patch, so that what does not fit is told before hours of training.

    Args:
        expected: channels that it should answer with; None: any.
    """
    mode = network.training
    network.eval()
    try:
        with torch.no_grad():
            channels = first_output(network(example)).shape[1]
    except (ValueError, RuntimeError) as error:
        raise SegdistillError(
            f"{place}: patches of {list(example.shape[2:])} (data.patch_size) do not fit: {error}"
        ) from error
    finally:
        network.train(mode)
    if expected is not None and channels != expected:
        raise SegdistillError(
            f"{place}: {type(network).__name__} answers with {channels} channels, the data need {expected} "
            "(background and each class, or each overlapping region)"
            + (f"; say by {place}.classes which classes it knows" if place != "student" else "")
        )
