"""The images, how they are split, preprocessed and drawn from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from segdistill.sections.section import Fraction, Part, PositiveInt, Section, Settings


class SplitSection(Section):
    """Which cases train, validate and test. Lists win over fractions."""

    test: Annotated[float, Field(ge=0, lt=1)] | list[str] | None = None
    """Share of the patients, or a list of cases; without it, a `test` folder of the data, else 0.2."""
    validation: list[str] | None = None
    train: list[str] | None = None
    folds: Annotated[int, Field(ge=2)] = 5
    fold: Annotated[int, Field(ge=0)] = 0
    seed: int = 0
    group: str | None = None
    """Regular expression that finds the patient in a case's name; its first group, or the whole match."""
    labelled: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the training patients whose labels are used, to see what few labels do; the others are left out, unless
    `data.unlabelled` takes their images."""
    file: str | None = None
    """A splits.json to take instead."""


class SliceSection(Section):
    """Read a 3-D set as 2-D slices."""

    axis: Annotated[int, Field(ge=0, le=2)] = 2
    keep: Literal["all", "foreground"] = "all"
    """Which slices training draws from; prediction always runs on all."""


class UnlabelledSection(Section):
    """Images without labels to distil on."""

    path: str | None = None
    """Their folder, named as those of the dataset (NAME_0000, NAME_0001, ... or one file each). null: the training
    cases whose labels `splits.labelled` leaves out, and cases of the dataset that have none."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Of the training samples."""


class DataSection(Section):
    """The images, how they are preprocessed and how patches are drawn from them."""

    path: str | None = None
    layout: str | None = None
    labels: dict[str, int | list[int]] | None = None
    """Classes to segment, {name: value or values in the label files}; what is not named is background.
    Without it the dataset's own."""
    channels: dict[str, Part] = {}
    """Intensity part by channel name; guessed from the name where not given."""
    spacing: list[Annotated[float, Field(gt=0)] | None] | Literal["median"] | None = "median"
    """Target spacing in mm along x, y, z; null along an axis keeps each case's own. The median of slices is
    taken in their plane: each volume keeps its slice distance unless one is given."""
    interpolation: Literal["cubic", "linear"] = "cubic"
    """How images are resampled."""
    label_interpolation: Literal["linear", "nearest"] = "linear"
    """How labels are resampled; linear on the one-hot map of each class."""
    crop: list[int | tuple[int, int] | None] | None = None
    """After resampling, for each axis: a central size, bounds [start, stop], or null; some papers have it."""
    patch_size: list[PositiveInt] | None = None
    """Voxels; without it the median image, at most 64 a side in 3-D and 256 in 2-D, in multiples of 16 or of what the
    recipe's networks need."""
    batch_size: PositiveInt = 2
    """Patches in a step over all devices and accumulation steps together."""
    oversample_foreground: Fraction = 1 / 3
    augmentation: Settings | None = {}
    """Settings of the augmentation; null switches it off."""
    slices: SliceSection | None = None
    splits: SplitSection = SplitSection()
    sites: str | None = None
    """Regular expression that finds the site in a case's name; its first group, or the whole match."""
    unlabelled: UnlabelledSection | None = None
    """Images without labels to distil on, too."""
    store: str | None = None
    """Folder of the preprocessed images; without it $SEGDISTILL_STORE, else runs/preprocessed."""
    workers: Annotated[int, Field(ge=0)] | None = None
    """Processes in all: all preprocess; then one trains and the rest cut patches. null: the cores, at most 8."""
