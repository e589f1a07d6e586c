"""From a recipe to data that is ready: opened, split, preprocessed, and the recipe settled for it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import lcm
from pathlib import Path

import numpy as np
from torch import nn

from segdistill.cost.budget import Choice, choose
from segdistill.data import open_dataset
from segdistill.data.augmentation import Augmentation
from segdistill.data.dataset import Dataset
from segdistill.data.fingerprint import fingerprint
from segdistill.data.hidden_labels import HiddenLabels
from segdistill.data.patches import Patches, Recording
from segdistill.data.plan import Plan, make_plan
from segdistill.data.preprocessing import preprocess
from segdistill.data.slices import Slices
from segdistill.data.splits import Splits, make_splits
from segdistill.data.store import Store
from segdistill.data.unlabelled import unlabelled_cases
from segdistill.errors import SegdistillError
from segdistill.evaluation.summary import AVERAGE
from segdistill.model import Facts, multiple_of, resolve_network
from segdistill.recipe import Recipe
from segdistill.training.sites import sites_of, with_a_peer_for_each

LARGEST_PATCH = {2: 256, 3: 64}
PATCH_MULTIPLE = 16


@dataclass(frozen=True)
class Prepared:
    """Data that a recipe trains on.

    Attributes:
        recipe: with all that was open settled: patch size, presets.
        facts: what the student must know of the data.
        inputs: numbers of the channels that the student sees; None: all.
        sites: the site of each case, where the recipe finds it.
        hidden: training cases whose labels the recipe leaves out, where it learns from their images.
        fingerprint: of the labelled cases and the plan; the store's own also tells which others there are.
        budget: the student that was chosen, where the recipe has a budget for it.
    """

    recipe: Recipe
    dataset: Dataset
    splits: Splits
    store: Store
    facts: Facts
    slices: Slices | None
    inputs: tuple[int, ...] | None = None
    sites: dict[str, str] | None = None
    hidden: tuple[str, ...] = ()
    fingerprint: str = ""
    budget: Choice | None = None

    @property
    def plan(self) -> Plan:
        """How the images were prepared."""
        return self.store.plan

    @property
    def unlabelled(self) -> list[str]:
        """The cases without label, and those whose labels are hidden."""
        return [*(case.id for case in self.dataset.cases if case.label is None), *self.hidden]

    @property
    def training_sites(self) -> list[str]:
        """The sites of the training cases; a site's place here is its number."""
        return sorted({self.sites[name] for name in self.splits.train}) if self.sites else []

    def patches(self, recordings: Mapping[str, Recording] | None = None) -> Patches:
        """The endless training samples, with what was recorded of teachers."""
        data, slices = self.recipe.data, self.slices
        steps = [
            mm for axis, mm in enumerate(self.plan.spacing or ()) if slices is None or axis != slices.axis
        ]
        known = [mm for mm in steps if mm is not None]
        return Patches(
            HiddenLabels(self.store, self.hidden) if self.hidden else self.store,
            self.splits.train,
            self.facts.image_size,
            seed=self.recipe.train.seed,
            oversample_foreground=data.oversample_foreground,
            augmentation=None if data.augmentation is None else Augmentation(**data.augmentation),
            slices=slices,
            sites=self.sites and {name: self.sites[name] for name in self.splits.train},
            unlabelled=self.unlabelled,
            unlabelled_share=0.0 if data.unlabelled is None else data.unlabelled.share,
            spacing=known if known and len(known) == len(steps) else None,
            recordings=recordings,
        )


def prepare(recipe: Recipe, *, student: nn.Module | None = None) -> Prepared:
    """Open, check, split and preprocess the data of a recipe; settle what the recipe left open.

    Raises:
        SegdistillError: no path, a dataset or split with a fault, a patch size of the wrong dimension.
    """
    dataset = open_dataset(_path(recipe), recipe.data.layout)
    if recipe.data.labels is not None:
        dataset = dataset.select(recipe.data.labels)
    if AVERAGE in dataset.classes:  # told before hours of training, not when its figures are summed up
        raise SegdistillError(
            f"{dataset.path}: a class is called {AVERAGE!r}, which names the average over classes in all tables; "
            "rename it in dataset.json, or by data.labels"
        )
    slices = None if recipe.data.slices is None else Slices(**recipe.data.slices.model_dump())
    if slices is not None and dataset.spatial_dims != 3:
        raise SegdistillError(f"data.slices: {dataset.path} has photographs already; slices are for volumes")
    splits, labelled = split(recipe, dataset), dataset
    hidden: tuple[str, ...] = ()
    if recipe.data.unlabelled is not None and recipe.data.unlabelled.path is None:
        hidden = _left_out(recipe, dataset, splits)
    elif recipe.data.unlabelled is not None and recipe.data.unlabelled.path is not None:
        more = unlabelled_cases(Path(recipe.data.unlabelled.path), dataset)
        dataset = replace(dataset, cases=(*dataset.cases, *more))
    plan = make_plan(
        dataset,
        spacing=recipe.data.spacing,
        crop=recipe.data.crop,
        channels=recipe.data.channels,
        interpolation=recipe.data.interpolation,
        label_interpolation=recipe.data.label_interpolation,
        statistics_cases=splits.train,
        workers=workers(recipe),
    )
    if slices is not None and recipe.data.spacing == "median":
        plan = _slice_distance_kept(plan, slices)
    store = preprocess(dataset, plan, store_root(recipe), workers=workers(recipe))
    known = store.fingerprint if labelled is dataset else fingerprint(labelled, plan, store_root(recipe))
    sites = sites_of(recipe, dataset)
    recipe = with_a_peer_for_each(recipe, sorted({sites[name] for name in splits.train}) if sites else [])
    recipe.data.patch_size = list(_patch_size(recipe, plan, slices))
    if slices is not None and recipe.train.iterations is None:
        seen = _slices_to_train_on(store, splits.train, slices)
        recipe.train.iterations = max(1, seen // recipe.data.batch_size)
    dims = plan.spatial_dims if slices is None else 2
    named = recipe.student.get("inputs")
    inputs = None if named is None else plan.numbers_of(named, "student.inputs")
    seen = len(plan.channels) if inputs is None else len(inputs)
    facts = Facts(dims, seen, plan.out_channels, tuple(recipe.data.patch_size))
    if student is not None:
        own = {} if named is None else {"inputs": list(named)}
        recipe.student = {"type": "python", "class": type(student).__qualname__} | own
        return Prepared(recipe, dataset, splits, store, facts, slices, inputs, sites, hidden, known)
    choice = None
    if "budget" in recipe.student:
        where = "cpu" if recipe.train.accelerator == "cpu" else "auto"
        kept = store_root(recipe) / "budgets"
        choice = choose(recipe.student, facts, "student", memory=kept, device=where)
    recipe.student = resolve_network(recipe.student, facts, "student") if choice is None else choice.part
    return Prepared(recipe, dataset, splits, store, facts, slices, inputs, sites, hidden, known, choice)


def class_prior(store: Store, cases: Sequence[str], classes: int) -> tuple[float, ...]:
    """The share of each class, background first, among the labelled voxels of some cases."""
    counts = np.zeros(classes, np.int64)
    for name in cases:
        label = store.case(name).label
        if label is not None:
            counts += np.bincount(label[label >= 0].ravel(), minlength=classes)
    return tuple(float(share) for share in counts / max(counts.sum(), 1))


def split(recipe: Recipe, dataset: Dataset) -> Splits:
    """The recipe's splits: from its file, or made from its lists, fractions and seed."""
    wanted = recipe.data.splits
    if wanted.file is not None:
        listed = Splits.load(Path(wanted.file))
        return make_splits(
            dataset, group=wanted.group, train=listed.train, validation=listed.validation, test=listed.test,
            seed=wanted.seed, labelled=wanted.labelled,
        )  # fmt: skip
    return make_splits(dataset, **wanted.model_dump(exclude={"file"}))


def _left_out(recipe: Recipe, dataset: Dataset, splits: Splits) -> tuple[str, ...]:
    """The training cases whose labels are not used.

    Raises:
        SegdistillError: there are none, and no other case is without label.
    """
    everyone = recipe.model_copy(deep=True)
    everyone.data.splits.labelled = 1.0
    hidden = tuple(name for name in split(everyone, dataset).train if name not in splits.train)
    if not hidden and all(case.label is not None for case in dataset.cases):
        raise SegdistillError(
            f"data.unlabelled: {dataset.path} has no case without label, and all labels of the training cases are "
            "used; name a folder of images by data.unlabelled.path, or say data.splits.labelled=0.25"
        )
    return hidden


def store_root(recipe: Recipe) -> Path:
    """Where preprocessed images are kept."""
    return Path(recipe.data.store or os.environ.get("SEGDISTILL_STORE") or "runs/preprocessed")


def workers(recipe: Recipe) -> int:
    """Processes to prepare data with; at least 1."""
    if recipe.data.workers is None:
        return max(
            1,
            min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1),
        )
    return max(1, recipe.data.workers)


def _path(recipe: Recipe) -> str:
    if recipe.data.path is None:
        raise SegdistillError(
            "data.path: is required: the folder of a dataset (nnU-Net raw, Decathlon, or images/ beside labels/), for "
            "example "
            "data.path=data/Task04_Hippocampus; without images, `segdistill data phantom OUT` makes some"
        )
    return recipe.data.path


def _slice_distance_kept(plan: Plan, slices: Slices) -> Plan:
    """The plan without resampling across the slices, which would mix them; nothing else follows from it."""
    assert plan.spacing is not None
    spacing = tuple(None if axis == slices.axis else mm for axis, mm in enumerate(plan.spacing))
    return replace(plan, spacing=spacing)


def _slices_to_train_on(store: Store, cases: Sequence[str], slices: Slices) -> int:
    """How many slices of the training cases are drawn from: all, or those with foreground."""
    stored = [store.case(name) for name in cases]
    if slices.keep == "all":
        return sum(case.image.shape[1 + slices.axis] for case in stored)
    return sum(len(slices.with_foreground(case.label)) for case in stored if case.label is not None)


def _patch_size(recipe: Recipe, plan: Plan, slices: Slices | None) -> tuple[int, ...]:
    if recipe.data.patch_size is not None:
        dims = 2 if slices is not None else plan.spatial_dims
        if len(recipe.data.patch_size) != dims:
            raise SegdistillError(
                f"data.patch_size: {recipe.data.patch_size} has {len(recipe.data.patch_size)} numbers, "
                f"the images have {dims} axes{' as slices' if slices else ''}"
            )
        return tuple(recipe.data.patch_size)
    shape = [n for axis, n in enumerate(plan.shape) if slices is None or axis != slices.axis]
    specs = [recipe.student, *(teacher.network for teacher in recipe.teachers.values() if teacher.network)]
    facts = Facts(len(shape), 1, 1, ())
    multiples = [multiple_of(spec, facts, "network") for spec in specs if spec.get("type") != "python"]
    needed = [lcm(*(multiple[axis] for multiple in multiples)) for axis in range(len(shape))]
    free = [bool(multiples) and n == 1 for n in needed]  # no network halves this axis
    steps = [
        min(PATCH_MULTIPLE, n) if any_length else lcm(PATCH_MULTIPLE, multiple)
        for n, multiple, any_length in zip(shape, needed, free, strict=True)
    ]
    largest = LARGEST_PATCH[len(shape)]
    sides = [max(step, min(n, largest) // step * step) for n, step in zip(shape, steps, strict=True)]
    if sides == needed:  # a single voxel would be left at the deepest level
        longest = shape.index(max(shape))
        sides[longest] += needed[longest]
    return tuple(sides)
