"""The sections of a recipe, as typed data; their defaults are the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from segdistill.errors import SegdistillError
from segdistill.parts import explain
from segdistill.quantity import Quantity

PositiveInt = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Settings = dict[str, Any]
Part = Annotated[Settings, BeforeValidator(lambda part: {"type": part} if isinstance(part, str) else part)]
"""`{type: NAME, setting: value, ...}`; the name alone is the part with its defaults."""

RESERVED = ("segmentation", "total", "holistic", "critic")
Need = Literal["labels", "several teachers", "unlabelled images", "several sites"]


class Section(BaseModel):
    """A part of a recipe: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


S = TypeVar("S", bound=Section)


def section(kind: type[S], data: Mapping[str, Any], place: str) -> S:
    """`data` as a section.

    Raises:
        SegdistillError: it is none; with the place and the choices.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise SegdistillError(("" if place else "recipe: ") + explain(error, place, kind, data)) from None


def is_reserved(name: str) -> bool:
    """Whether the log has, or may have, a loss of that name already, so that no term can have it."""
    return name in RESERVED or name.startswith("peer ") or " of " in name or name.endswith(" reconstruction")


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


class BudgetSection(Section):
    """What a student may cost; of the widths of its network the largest is taken that costs no more."""

    parameters: Quantity | None = None
    macs: Quantity | None = None
    """True multiply-adds for one patch."""
    latency_ms: Quantity | None = None
    """Median time of one patch on this machine, in PyTorch and on the threads that it has."""
    widest: Annotated[float, Field(ge=1 / 64, le=64)] = 8
    """How many times the network's own width it may become."""

    @model_validator(mode="after")
    def _says_something(self) -> BudgetSection:
        if self.parameters is None and self.macs is None and self.latency_ms is None:
            raise ValueError("say at least one of parameters, macs and latency_ms")
        return self


class PeerSection(Section):
    """A peer is trained beside the student, and each learns from the other."""

    detach: bool = True
    """Each takes what the other says as it is; else one term moves both."""
    site: str | None = None
    """The site whose images it sees, one of those that `data.sites` finds; `each`: one such peer for every site;
    null: all images."""


class AverageSection(Section):
    """The moving average of the student's weights."""

    momentum: Fraction = 0.999
    final: Fraction | None = None
    """Momentum at the end, reached along half a cosine."""


class SeesSection(Section):
    """How a network that comes without a record sees images: what is not said is as the student sees them."""

    inputs: list[str] | None = None
    """Image channels, by name, in its order."""
    spacing: list[Annotated[float, Field(gt=0)] | None] | None = None
    """Mm along x, y, z; null along an axis keeps each case's own."""
    channels: dict[str, Part] = {}
    """Intensity part by channel name."""
    patch_size: list[PositiveInt] | None = None
    """Voxels of a window."""


class TeacherSection(Section):
    """A teacher: a trained model from anywhere, a peer, or the student's moving average.

    A run that does not exist is trained first where `network` is given.
    """

    run: str | None = None
    path: str | Annotated[list[str], Field(min_length=1)] | None = None
    """Instead of `run`, a trained model of any kind: a run, an nnU-Net results folder, a MONAI bundle, a TorchScript,
    torch.export or ONNX file, a folder of soft predictions. Several, or a pattern such as runs/fold_?, are one."""
    source: Part | None = None
    """What is at `path` and how it is read; found out where it is not said (`segdistill list sources`)."""
    folds: Literal["matched", "out_of_fold"] | None = None
    """Of several models at `path`, one for each fold. matched: the student of a fold is taught by the one of the same
    fold, which has not seen its validation cases; out_of_fold: each case is taught by the one that has not seen it.
    null: their answers are averaged."""
    sees: SeesSection | None = None
    """How a teacher sees images, where it is not as the student does; one with a record of its own takes `inputs`
    alone."""
    stand_in: bool = False
    """Stands for a teacher of yours: gives way where another teacher is named beside it."""
    weight: NonNegative = 1.0
    network: Part | None = None
    """Of a run: how to train it. Of a peer: what it is; without it the student's own network."""
    train: Settings = {}
    """Overrides of `train` for training this teacher."""
    peer: PeerSection | None = None
    average: AverageSection | None = None
    classes: list[str] | dict[str, str | list[str]] | None = None
    """What to learn from it: shared names, or {student's class: teacher's class or classes}; null: all."""
    view: Settings | None = None
    """How its copy of the images is changed (noise, brightness, contrast); null: it sees what the student sees."""

    @property
    def frozen(self) -> bool:
        """Whether it is trained already, or before the student is."""
        return self.peer is None and self.average is None

    @property
    def paths(self) -> list[str]:
        """`path` as a list."""
        return [self.path] if isinstance(self.path, str) else list(self.path or ())


class SegmentationSection(Section):
    """The supervised part of the equation."""

    loss: Part = {"type": "dice_focal"}
    weight: NonNegative = 1.0
    head_weights: Annotated[list[NonNegative], Field(min_length=1)] = [1.0, 0.5, 0.25, 0.125]


Stages = str | Annotated[list[str], Field(min_length=1)]


class TermSection(Section):
    """A distillation term: `student` and `teacher` stages, or `pairs` of them."""

    loss: Part
    student: Stages | None = None
    teacher: Stages | None = None
    pairs: Annotated[list[tuple[Stages, Stages]], Field(min_length=1)] | None = None
    weight: NonNegative | Settings = 1.0
    teachers: Annotated[list[str], Field(min_length=1)] | None = None
    teacher_is: Literal["student"] | None = None
    """`student`: its own stages are the teacher's (self-distillation)."""
    where: Part | None = None
    """A spatial weight."""
    resize: Literal["teacher", "student"] = "teacher"
    """Whose map is brought to the size of the other."""
    projector: Part | None = None

    def stage_pairs(self) -> list[tuple[Stages, Stages]]:
        """The pairs of stages that the term compares; `logits` with `logits` where it names none."""
        return self.pairs or [(self.student or "logits", self.teacher or self.student or "logits")]


class KnowledgeSection(Section):
    """How trained teachers answer: from a cache of what they say about whole cases, or anew in every step."""

    type: Literal["auto", "cached", "online"] = "auto"
    """auto: cached where that is right and fits the disk; cached: an error where it does not fit; online: never."""
    disk: Quantity = 20e9
    """Bytes that the answers for this run may take on disk, all teachers together, such as 20G."""
    logits: Literal["float16", "uint8"] = "float16"
    """How logits are kept; uint8 halves their disk, and its error is stated by `segdistill cache info`."""
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of a window that the next one covers again."""
    mirror: bool = False
    """Average over flips: 2^d times the work."""
    window_batch: PositiveInt = 2


Knowledge = Annotated[
    KnowledgeSection, BeforeValidator(lambda told: {"type": told} if isinstance(told, str) else told)
]
"""`{type: ..., ...}`; the type alone does."""


class CriticSection(Section):
    """A critic tells the student's answers from the teachers' (structured distillation's holistic term)."""

    weight: Annotated[float, Field(gt=0)] = 0.1
    width: PositiveInt = 32
    layers: Annotated[int, Field(ge=1, le=5)] = 2
    penalty: NonNegative = 10.0
    optimizer: Part = {"type": "adam", "lr": 4.0e-4}


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


class EvaluateSection(Section):
    """Prediction of whole images and their figures."""

    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    mirror: bool = False
    window_batch: PositiveInt = 2
    tolerance_mm: Annotated[float, Field(gt=0)] = 2.0
    """Surface distance that NSD forgives."""
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Probability above which the likeliest foreground class is taken; without it the likeliest of all.
    Regions: 0.5."""
    slices: Literal["all", "foreground"] = "all"
    """Which slices count where volumes are read as slices: all, or those with foreground in the reference. The second
    leaves false alarms elsewhere out of the figures; it is how HLFD's code scores."""
