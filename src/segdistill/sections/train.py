"""Optimisation, its phases, and how its settings were found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from segdistill.sections.section import NonNegative, Part, PositiveInt, Section, Seed, Settings


class PhaseSection(Section):
    """One stretch of the training; the learning rate's schedule runs anew in each."""

    name: str
    share: Annotated[float, Field(gt=0)] = 1.0
    """Of `train.epochs`, beside the shares of the other phases."""
    terms: list[str] | None = None
    """Terms that act; null: all."""
    segmentation: NonNegative = 1.0
    """Factor of the supervised loss."""
    student: bool = True
    """Whether the student learns; else only projectors do, by their own losses."""
    reconstruction: bool = True
    """Whether projectors learn by their own losses."""


class EarlyStopping(Section):
    """Stop when the validation figure has not improved for `patience` epochs."""

    patience: PositiveInt = 40
    monitor: Literal["loss", "dice"] = "loss"


def _without_password(place: str) -> str:
    """A recipe is kept, and shown to others."""
    if "@" in place.partition("://")[2].partition("/")[0]:
        raise ValueError(
            "no name or password here: MLflow takes them from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    return place


class TrainSection(Section):
    """Optimisation."""

    epochs: PositiveInt = 100
    iterations: PositiveInt | None = None
    """Steps an epoch; without it, as many as show each training case once (read as slices: each slice to
    train on)."""
    optimizer: Part = {"type": "adamw"}
    schedule: Part = {"type": "poly"}
    gradient_clip: Annotated[float, Field(gt=0)] | None = 12.0
    accumulate: PositiveInt = 1
    """Split each batch into this many parts to save memory; the result is the same."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: PositiveInt = 1
    nodes: PositiveInt = 1
    validate_every: PositiveInt = 1
    best: Literal["dice", "loss"] = "dice"
    early_stopping: EarlyStopping | None = None
    share_every: Annotated[int, Field(ge=0)] = 10
    """Epochs between measurements of each term's share of the student's gradient; 0 never measures."""
    seed: Seed = 0
    tensorboard: bool = False
    mlflow: Annotated[str, AfterValidator(_without_password)] | None = None
    """A folder or a server's address where MLflow keeps a record of the run, in the experiment called as the data."""


class TuningSection(Section):
    """That these settings were found by tuning the student alone (`segdistill study tune`): what a run keeps of it."""

    trials: PositiveInt
    best: float
    """Dice on the validation cases, 0 to 1."""
    before: float
    """The same with the settings that were there before."""
    searched: list[str]
    student: Part | None = None
    data: str | None = None
    """Name of the folder of its images."""
    epochs: PositiveInt | None = None
    settings: Settings = {}
    """What was found, by key: a run that has another value of one was not tuned with it."""
