"""Several trained models as one teacher, without one that marks its own homework."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from segdistill.errors import SegdistillError
from segdistill.sections.teacher import TeacherSection
from segdistill.teachers.teacher import Group, Teacher
from segdistill.training.prepare import Prepared


def as_one(members: Sequence[Teacher], section: TeacherSection, data: Prepared, place: str) -> Teacher:
    """One model as it is; of several the one of the student's fold, or all as a group.

    Raises:
        SegdistillError: models for different classes, or whose folds cannot be told or do not fit.
    """
    if section.folds is not None and len(members) < 2:
        raise SegdistillError(f"{place}: is for several models, one for each fold; there is one")
    if len(members) == 1:
        return members[0]
    if len({one.labels for one in members}) > 1:
        raise SegdistillError(
            f"{place.removesuffix('.folds')}.path: the models know different classes, so they cannot be one teacher; "
            "give each a name of its own under teachers"
        )
    if section.folds is not None:
        here = {case.id for case in data.dataset.cases}
        for one in members:
            if not one.trained_on:
                raise SegdistillError(
                    f"{place}: which cases {one.source} was trained on cannot be told, so neither can its fold"
                )
            if not here & set(one.trained_on):
                raise SegdistillError(
                    f"{place}: {one.source} names the cases that it was trained on otherwise than these data "
                    f"({one.trained_on[0]}, ...), so its fold cannot be told"
                )
    if section.folds == "matched":
        return _of_the_same_fold(members, data, place)
    scores = [one.score for one in members if one.score is not None]
    return replace(
        members[0],
        network=None,
        inputs=None,
        intensities=None,
        window=None,
        whole_cases=Group(tuple(members), section.folds == "out_of_fold"),
        channels=None,
        score=sum(scores) / len(scores) if len(scores) == len(members) else None,
        trained_on=tuple(sorted({case for one in members for case in one.trained_on})),
        apart=f"it is {len(members)} models",
    )


def _of_the_same_fold(members: Sequence[Teacher], data: Prepared, place: str) -> Teacher:
    """The model that has learnt from none of the student's validation and test cases."""
    fold = data.recipe.data.splits.fold
    held_out = {*data.splits.validation, *data.splits.test}
    unseen = [one for one in members if not held_out & set(one.trained_on)]
    if not unseen:
        seen = "; ".join(f"{one.source}: {len(held_out & set(one.trained_on))}" for one in members)
        raise SegdistillError(
            f"{place}: matched, but every model has learnt from validation or test cases of this student ({seen} of "
            f"{len(held_out)}); use the teachers' splits for the student (data.splits.file or folds, fold and seed)"
        )
    own = [one for number, one in enumerate(members) if number == fold]
    return next((one for one in own if any(one is other for other in unseen)), unseen[0])
