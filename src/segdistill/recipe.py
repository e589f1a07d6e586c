"""Recipe: everything that decides a run, as typed data. Nothing in a recipe is executed.

Recipes are YAML files, shipped (`segdistill list recipes`) or the user's. Several compose, later over
earlier, and `key.path=value` overrides come last. Every default is written back into the run folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from segdistill.composition import image_channels, merge, parse_override, read, with_parity, without_removed
from segdistill.errors import SegdistillError
from segdistill.parts import complete, explain, unknown

PositiveInt = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Settings = dict[str, Any]
Part = Annotated[Settings, BeforeValidator(lambda part: {"type": part} if isinstance(part, str) else part)]
"""`{type: NAME, setting: value, ...}`; the name alone is the part with its defaults."""
IDENTITY = ("name", "kind", "status", "reference", "summary", "needs")
DEFAULT_PARTS: Any = {
    "student": True,
    "combine": True,
    "segmentation": {"loss"},
    "train": {"optimizer", "schedule"},
}


Need = Literal["labels", "several teachers", "unlabelled images", "several sites"]


class Section(BaseModel):
    """A part of a recipe: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


S = TypeVar("S", bound=Section)


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
    file: str | None = None
    """A splits.json to take instead."""


class SliceSection(Section):
    """Read a 3-D set as 2-D slices."""

    axis: Annotated[int, Field(ge=0, le=2)] = 2
    keep: Literal["all", "foreground"] = "all"
    """Which slices training draws from; prediction always runs on all."""


class UnlabelledSection(Section):
    """A folder of images without labels, named as those of the dataset (NAME_0000, NAME_0001, ... or one file each)."""

    path: str
    share: Fraction = 0.5
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
    """Voxels; without it the median image, at most 64 a side in 3-D and 256 in 2-D, in multiples of 16."""
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


class TeacherSection(Section):
    """A teacher: a run, a peer, or the student's moving average.

    A run that does not exist is trained first where `network` is given.
    """

    run: str | None = None
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
        """Whether it comes from a run."""
        return self.peer is None and self.average is None


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


class CriticSection(Section):
    """A critic tells the student's answers from the teachers' (structured distillation's holistic term)."""

    weight: NonNegative = 0.1
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


class Recipe(Section):
    """A whole recipe. Sections and their defaults are the reference; see also `segdistill list`."""

    name: str = "run"
    kind: Literal["alone", "response", "feature", "relation", "boundary", "mixed", "protocol"] = "mixed"
    status: Literal["exact", "close", "inspired"] | None = None
    reference: str = ""
    summary: str = ""
    needs: list[Need] = []
    """What a method asks of the data beyond images."""
    parity: Literal["paper", "code"] = "paper"
    """Follow the paper, or its published code, where the recipe says in its section `code` how that differs."""
    data: DataSection = DataSection()
    student: Part = {"type": "unet"}
    teachers: dict[str, TeacherSection] = {}
    segmentation: SegmentationSection = SegmentationSection()
    combine: Part = {"type": "sum"}
    """How several teachers are combined."""
    terms: dict[str, TermSection] = {}
    critic: CriticSection | None = None
    phases: list[PhaseSection] = []
    train: TrainSection = TrainSection()
    evaluate: EvaluateSection = EvaluateSection()

    @classmethod
    def load(
        cls, *sources: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), **sections: Any
    ) -> Recipe:
        """Compose recipes and check the result.

        Args:
            sources: shipped names, YAML files or plain data; later ones win over earlier ones. A protocol
                says how to train: what the recipe before it is called, it stays.
            overrides: `key.path=value`, the value in YAML.
            sections: the same as plain data: `Recipe.load("hinton", data={"path": "..."})`.

        Raises:
            SegdistillError: unknown recipe, key or part, value out of range; with the place and the choices.
        """
        # A setting of a part that is there by default can be changed without naming the part.
        merged = cls().model_dump(include=DEFAULT_PARTS)
        for number, source in enumerate(sources):
            layer = read(source)
            if number and layer.get("kind") == "protocol":
                layer = {key: value for key, value in layer.items() if key not in IDENTITY}
            merged = merge(merged, image_channels(layer))
        # Joined first, short keys before long ones: `student.width=4 student=unet` must not depend on its order.
        joined: dict[str, Any] = {}
        for override in sorted(overrides, key=lambda text: text.partition("=")[0].count(".")):
            joined = merge(joined, image_channels(parse_override(override)))
        given = merge(image_channels(sections), joined)
        return cls.check(without_removed(merge(with_parity(merged, given.get("parity")), given)))

    @classmethod
    def check(cls, data: Mapping[str, Any]) -> Recipe:
        """Validate plain data as a recipe, the parts in it too, and fill in all defaults."""
        from segdistill.data.augmentation import Augmentation
        from segdistill.data.intensity import INTENSITIES
        from segdistill.losses import SEGMENTATION_LOSSES
        from segdistill.teachers.combination import COMBINATIONS
        from segdistill.training.optimization import OPTIMIZERS

        recipe = _section(cls, data, "")
        for channel, part in recipe.data.channels.items():
            recipe.data.channels[channel] = complete(INTENSITIES, part, f"data.channels.{channel}")
        if recipe.data.augmentation is not None:
            spec = {"type": "augmentation", **recipe.data.augmentation}
            completed = complete({"augmentation": Augmentation}, spec, "data.augmentation")
            recipe.data.augmentation = {key: value for key, value in completed.items() if key != "type"}
        supervised = recipe.segmentation
        supervised.loss = complete(SEGMENTATION_LOSSES, supervised.loss, "segmentation.loss")
        recipe.combine = complete(COMBINATIONS, recipe.combine, "combine")
        for name, term in recipe.terms.items():
            _complete_term(name, term, recipe)
        for number, phase in enumerate(recipe.phases):
            for term_name in phase.terms or ():
                if term_name not in recipe.terms:
                    raise SegdistillError(f"phases.{number}.terms: {unknown(term_name, recipe.terms)}")
        if recipe.phases and recipe.train.epochs < len(recipe.phases):
            raise SegdistillError(
                f"train.epochs: {len(recipe.phases)} phases need as many epochs at least, got {recipe.train.epochs}"
            )
        if recipe.critic is not None:
            if not recipe.teachers:
                raise SegdistillError("critic: there is no teacher whose answers it could compare with")
            recipe.critic.optimizer = complete(OPTIMIZERS, recipe.critic.optimizer, "critic.optimizer")
        _complete_train(recipe.train, "train", recipe.data.batch_size)
        recipe.student = complete_network(recipe.student, "student")
        for name, teacher in recipe.teachers.items():
            _complete_teacher(name, teacher, recipe)
        return recipe

    def to_yaml(self) -> str:
        """The recipe with every default, as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)


def _section(section: type[S], data: Mapping[str, Any], place: str) -> S:
    """`data` as a section; SegdistillError where it is none."""
    try:
        return section.model_validate(data)
    except ValidationError as error:
        raise SegdistillError(("" if place else "recipe: ") + explain(error, place, section, data)) from None


def _complete_term(name: str, term: TermSection, recipe: Recipe) -> None:
    """Check a term, the parts in it too, and fill in their defaults."""
    from segdistill.losses import LOSSES
    from segdistill.projectors import PROJECTORS
    from segdistill.schedules import WEIGHTS
    from segdistill.where import WHERE

    place = f"terms.{name}"
    if name in ("segmentation", "total", "holistic", "critic"):
        raise SegdistillError(f"{place}: the log has a loss of that name already; choose another")
    term.loss = complete(LOSSES, term.loss, f"{place}.loss")
    if term.projector is not None:
        term.projector = complete(PROJECTORS, term.projector, f"{place}.projector")
    if term.where is not None:
        term.where = complete(WHERE, term.where, f"{place}.where")
    if isinstance(term.weight, dict):
        term.weight = complete(WEIGHTS, term.weight, f"{place}.weight")
    if term.pairs is not None and (term.student or term.teacher):
        raise SegdistillError(f"{place}: give `pairs`, or `student` and `teacher`, not both")
    if term.teacher_is is not None and term.teachers is not None:
        raise SegdistillError(f"{place}: give `teachers`, or `teacher_is: student`, not both")
    for teacher in term.teachers or ():
        if teacher not in recipe.teachers:
            raise SegdistillError(f"{place}.teachers: {unknown(teacher, recipe.teachers)}")


def _complete_teacher(name: str, teacher: TeacherSection, recipe: Recipe) -> None:
    """Check a teacher, the parts in it too, and fill in their defaults."""
    from segdistill.teachers.view import View

    place = f"teachers.{name}"
    kinds = [key for key in ("run", "peer", "average") if getattr(teacher, key) is not None]
    if len(kinds) > 1:
        raise SegdistillError(f"{place}: it is one of run, peer and average, got {' and '.join(kinds)}")
    if teacher.average is not None and teacher.network is not None:
        raise SegdistillError(
            f"{place}.network: a moving average is of the student's own network; leave it out"
        )
    if teacher.peer is not None and teacher.peer.site is not None and recipe.data.sites is None:
        raise SegdistillError(
            f"{place}.peer.site: needs data.sites, a regular expression that finds a case's site"
        )
    if teacher.network is not None:
        teacher.network = complete_network(teacher.network, f"{place}.network")
    if teacher.view is not None:
        completed = complete({"view": View}, {"type": "view", **teacher.view}, f"{place}.view")
        teacher.view = {key: value for key, value in completed.items() if key != "type"}
    # Checked as the whole section that the teacher will train by; kept as the few words that it is.
    own = merge(recipe.train.model_dump(mode="json"), teacher.train)
    _complete_train(_section(TrainSection, own, f"{place}.train"), f"{place}.train", recipe.data.batch_size)


def _complete_train(train: TrainSection, place: str, batch: int) -> None:
    """Check a `train` section, the parts in it too, and fill in their defaults."""
    from segdistill.training.optimization import OPTIMIZERS, SCHEDULES

    parts = train.devices * train.nodes * train.accumulate
    if batch % parts:
        raise SegdistillError(
            f"data.batch_size: {batch} cannot be shared evenly by {train.devices * train.nodes} device(s) x "
            f"{place}.accumulate {train.accumulate}; use a multiple of {parts}"
        )
    train.optimizer = complete(OPTIMIZERS, train.optimizer, f"{place}.optimizer")
    train.schedule = complete(SCHEDULES, train.schedule, f"{place}.schedule")


def complete_network(spec: Any, place: str) -> Settings:
    """Check a network part.

    `{preset: NAME}` stays as it is until the data tell 2-D from 3-D; so does `python`. `inputs` names the
    image channels that the network sees, in any of them.
    """
    from segdistill.networks import NETWORKS, PRESETS

    if isinstance(spec, Mapping) and "inputs" in spec:
        inputs = spec["inputs"]
        if not isinstance(inputs, list | tuple) or not inputs or not all(isinstance(n, str) for n in inputs):
            raise SegdistillError(
                f"{place}.inputs: expected names of image channels, [CT] or [CT, PET], got {inputs!r}"
            )
        if len(set(inputs)) < len(inputs):
            raise SegdistillError(f"{place}.inputs: a channel stands there twice: {', '.join(inputs)}")
        rest = {key: value for key, value in spec.items() if key != "inputs"}
        return complete_network(rest, place) | {"inputs": list(inputs)}
    if isinstance(spec, Mapping) and "preset" in spec:
        name = str(spec["preset"])
        if name not in PRESETS:
            raise SegdistillError(f"{place}.preset: {unknown(name, PRESETS)}")
        if "type" in spec:
            raise SegdistillError(
                f"{place}: give `type` or `preset`, not both; preset {name} has its own type"
            )
        changed = {key: value for key, value in spec.items() if key != "preset"}
        complete(NETWORKS, {**PRESETS[name].expand(3), **changed}, place)
        return dict(spec)
    if isinstance(spec, Mapping) and spec.get("type") == "python":
        return dict(spec)
    return complete(NETWORKS, spec, place)
