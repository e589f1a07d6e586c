"""What the cases of a run have to show: channels, reference, answers, where they differ, and how good they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from segdistill.data.dataset import Case, Dataset
from segdistill.data.image import read_geometry
from segdistill.errors import SegdistillError
from segdistill.report.figures.pictures import find_dataset
from segdistill.report.words import listing
from segdistill.viewer.answers import Answer, answers_of
from segdistill.viewer.volumes import channel_volume, colour_volume, difference_volume, mask_volume

Volume = Callable[[], bytes]


@dataclass(frozen=True)
class Layer:
    """One thing to draw of a case; `read` makes its .nii.gz. kind: image, colours, mask or difference."""

    title: str
    kind: str
    read: Volume
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Shown:
    """One case on the page.

    dice: answer -> class -> Dice; NaN where it is not defined or not known.
    mean: of the run's own answer, over the classes.
    notes: what to bear in mind about it.
    """

    id: str
    layers: tuple[Layer, ...]
    dice: Mapping[str, Mapping[str, float]]
    mean: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Gallery:
    """All that a page shows. left_out: in words, what could not be shown."""

    run: str
    dataset: str
    spatial_dims: int
    classes: tuple[str, ...]
    ignored: bool
    answers: tuple[str, ...]
    cases: tuple[Shown, ...]
    left_out: tuple[str, ...]


def gather(run: Path, *, cases: Sequence[str] = (), beside: Sequence[Path] = ()) -> Gallery:
    """The cases of a run that have a predicted mask, the worst first.

    Args:
        run: a run folder.
        cases: only these; by default all.
        beside: further run folders on the same data, whose masks are shown too.

    Raises:
        SegdistillError: no such run, no masks, images that were moved away, or a case that is not there.
    """
    answers, left_out = answers_of(run, beside)
    main = answers[0]
    if not (run / "predictions").is_dir():
        raise SegdistillError(f"{run} has no predicted masks; make them first: segdistill evaluate {run}")
    try:
        dataset = find_dataset(main.record)
    except SegdistillError as error:
        raise SegdistillError(
            f"{run / 'recipe.yaml'}, data.path: {error}; put them back, or correct the path there"
        ) from error
    there = [case for case in dataset.cases if main.mask(case.id) is not None]
    if not there:
        raise SegdistillError(
            f"{run / 'predictions'} holds no mask of a case of {dataset.path}; make them: segdistill evaluate {run}"
        )
    shown = [_shown(case, dataset, answers) for case in _chosen(there, dataset, cases, run)]
    shown.sort(key=lambda one: (math.isnan(one.mean), one.mean, one.id))
    return Gallery(
        run=main.record.name,
        dataset=dataset.name,
        spatial_dims=dataset.spatial_dims,
        classes=dataset.classes,
        ignored=dataset.ignore is not None,
        answers=tuple(answer.title for answer in answers),
        cases=tuple(shown),
        left_out=tuple(left_out),
    )


def _chosen(there: list[Case], dataset: Dataset, asked: Sequence[str], run: Path) -> list[Case]:
    """The cases asked for, all without a word; SegdistillError with some choices."""
    known = {case.id: case for case in there}
    for id in asked:
        if id in known:
            continue
        if any(case.id == id for case in dataset.cases):
            raise SegdistillError(
                f"{run} has no predicted mask of case {id}; choose --case from {listing(list(known))}, or make those "
                f"of other cases by `segdistill evaluate {run} --subset validation` (or train)"
            )
        raise SegdistillError(f"{dataset.path} has no case {id!r}; choose --case from {listing(list(known))}")
    return [known[id] for id in dict.fromkeys(asked)] or there


def _shown(case: Case, dataset: Dataset, answers: Sequence[Answer]) -> Shown:
    dice = {
        answer.title: {name: answer.scores.of(case.id, "dice", name) for name in dataset.classes}
        for answer in answers
    }
    layers = (*_images(case, dataset), *_overlays(case, dataset, answers))
    main = answers[0]
    return Shown(case.id, layers, dice, main.scores.of(case.id, "dice"), _notes(case.id, main))


def _images(case: Case, dataset: Dataset) -> list[Layer]:
    layers = []
    if dataset.spatial_dims == 2 and len(dataset.channels) == 3:
        read = partial(colour_volume, case.images, dataset.channels)
        layers.append(Layer("Colours", "colours", read, case.images))
    for number, name in enumerate(dataset.channels):
        own = len(case.images) == len(dataset.channels)
        files = (case.images[number],) if own else case.images
        read = partial(channel_volume, case.images, name, dataset.channels)
        layers.append(Layer(name, "image", read, files))
    return layers


def _overlays(case: Case, dataset: Dataset, answers: Sequence[Answer]) -> list[Layer]:
    """Reference, then each answer with where it differs from that. A mask on another grid is left out."""
    first, label, layers = case.images[0], case.label, []
    grid = read_geometry(first)
    if label is not None:
        read = partial(mask_volume, label, dataset, dataset, first)
        layers.append(Layer("Reference", "mask", read, (label,)))
    for answer in answers:
        mask = answer.mask(case.id)
        if mask is None or not read_geometry(mask).same_grid(grid):
            continue
        read = partial(mask_volume, mask, answer.dataset, dataset, first)
        layers.append(Layer(answer.title, "mask", read, (mask,)))
        if label is not None:
            read = partial(difference_volume, mask, answer.dataset, label, dataset, first)
            layers.append(Layer(f"Difference: {answer.title}", "difference", read, (mask, label)))
    return layers


def _notes(case: str, answer: Answer) -> tuple[str, ...]:
    notes = []
    splits = answer.record.splits
    if case in splits.get("train", ()):
        notes.append("The run was trained on this case: its figures are no evidence.")
    elif case in splits.get("validation", ()):
        notes.append("A validation case: it helped to choose the checkpoint.")
    for teacher, learnt in answer.record.taught_on.items():
        if case in learnt:
            notes.append(f"Teacher {teacher} had learnt from this case before it taught.")
    return tuple(notes)
