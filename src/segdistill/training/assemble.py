"""From a recipe and its data to a distiller."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from segdistill.align import PROJECTORS
from segdistill.data.plan import Plan
from segdistill.distiller import Distiller
from segdistill.errors import SegdistillError
from segdistill.losses import LOSSES, SEGMENTATION_LOSSES
from segdistill.model import Facts, build_network
from segdistill.networks.stages import first_output
from segdistill.parts import build
from segdistill.recipe import Recipe, Stages, TermSection
from segdistill.schedules import WEIGHTS, Constant
from segdistill.teachers import own_run
from segdistill.teachers.teacher import Teacher
from segdistill.term import Stage, Term


def assemble(
    recipe: Recipe,
    plan: Plan,
    facts: Facts,
    *,
    student: nn.Module | None = None,
    teachers: Mapping[str, nn.Module | Teacher] | None = None,
    device: torch.device | None = None,
) -> Distiller:
    """Build the student, load the teachers and join them by the recipe's terms.

    Args:
        student, teachers: networks of the caller's own, instead of what the recipe names.

    Raises:
        SegdistillError: a part, stage, size or teacher that does not fit; the place in the recipe is named.
    """
    torch.manual_seed(recipe.train.seed)
    student = build_network(recipe.student, facts, "student") if student is None else student
    known = {
        name: as_teacher(name, recipe, plan, facts, (teachers or {}).get(name)) for name in recipe.teachers
    }
    for network in (student, *(teacher.network for teacher in known.values())):
        network.to(device)
    example = torch.zeros(1, facts.in_channels, *facts.image_size, device=device)
    _takes(student, example, "student", facts)
    for name, teacher in known.items():
        _takes(teacher.network, example, f"teachers.{name}", facts)
    try:
        distiller = Distiller(
            student,
            known,
            segmentation=supervised(recipe, plan),
            terms={name: term(name, section) for name, section in recipe.terms.items()},
            segmentation_weight=recipe.segmentation.weight,
            head_weights=recipe.segmentation.head_weights,
            regions=plan.regions,
            example=example,
        )
    except ValueError as error:
        raise SegdistillError(str(error)) from error
    return distiller


def supervised(recipe: Recipe, plan: Plan) -> Callable[[Tensor, Tensor], Tensor]:
    """The segmentation loss of the recipe."""
    return build(SEGMENTATION_LOSSES, recipe.segmentation.loss, "segmentation.loss", regions=plan.regions)


def term(name: str, section: TermSection) -> Term:
    """A term of the recipe as an object."""
    weight = section.weight
    projector = None
    if section.projector is not None:
        spec, place = section.projector, f"terms.{name}.projector"
        projector = lambda **given: build(PROJECTORS, spec, place, **given)  # noqa: E731
    return Term(
        loss=build(LOSSES, section.loss, f"terms.{name}.loss"),
        pairs=[(_stage(own), _stage(other)) for own, other in section.stage_pairs()],
        weight=build(WEIGHTS, weight, f"terms.{name}.weight")
        if isinstance(weight, dict)
        else Constant(weight),
        teachers=None if section.teachers is None else tuple(section.teachers),
        projector=projector,
    )


def as_teacher(
    name: str, recipe: Recipe, plan: Plan, facts: Facts, given: nn.Module | Teacher | None
) -> Teacher:
    """The teacher of that name: the caller's own network, or the run that the recipe names."""
    section = recipe.teachers[name]
    if isinstance(given, Teacher):
        return given
    if given is not None:
        return Teacher(given, section.weight)
    if section.run is None:
        raise SegdistillError(
            f"teachers.{name}.run: is required (the folder of a run, from `segdistill train`)"
        )
    return own_run.load(section.run, plan, facts, name=name, weight=section.weight)


def _stage(stages: Stages) -> Stage:
    return stages if isinstance(stages, str) else tuple(stages)


def _takes(network: nn.Module, example: Tensor, place: str, facts: Facts) -> None:
    """Run a network once on an empty patch, so that what does not fit is told before hours of training."""
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
    if channels != facts.out_channels:
        raise SegdistillError(
            f"{place}: {type(network).__name__} answers with {channels} channels, the data need {facts.out_channels} "
            "(background and each class, or each overlapping region)"
        )
