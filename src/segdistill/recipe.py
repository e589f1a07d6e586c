"""Recipe: everything that decides a run, as typed data. Nothing in a recipe is executed.

Recipes are YAML files, shipped (`segdistill list recipes`) or the user's. Several compose, later over
earlier, and `key.path=value` overrides come last. Every default is written back into the run folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from segdistill.composition import (
    image_channels,
    merge,
    parse_override,
    read,
    with_parity,
    with_room,
    without_removed,
)
from segdistill.errors import SegdistillError
from segdistill.network_part import complete_network, like_a_teacher
from segdistill.parts import complete, unknown
from segdistill.sections.data import DataSection
from segdistill.sections.evaluate import EvaluateSection
from segdistill.sections.objective import CriticSection, SegmentationSection, TermSection, is_reserved
from segdistill.sections.section import Part, Section, section
from segdistill.sections.teacher import Knowledge, KnowledgeSection, TeacherSection
from segdistill.sections.train import PhaseSection, TrainSection, TuningSection

IDENTITY = ("name", "kind", "status", "reference", "summary", "needs")
DEFAULT_PARTS: Any = {
    "student": True,
    "combine": True,
    "segmentation": {"loss"},
    "train": {"optimizer", "schedule"},
}
Need = Literal["labels", "several teachers", "unlabelled images", "several sites"]


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
    knowledge: Knowledge = KnowledgeSection()
    critic: CriticSection | None = None
    phases: list[PhaseSection] = []
    train: TrainSection = TrainSection()
    evaluate: EvaluateSection = EvaluateSection()
    tuned: TuningSection | None = None

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
            layer = image_channels(layer)
            merged = merge(with_room(merged, layer), layer)
        # Joined first, short keys before long ones: `student.width=4 student=unet` must not depend on its order.
        joined: dict[str, Any] = {}
        for override in sorted(overrides, key=lambda text: text.partition("=")[0].count(".")):
            joined = merge(joined, image_channels(parse_override(override)))
        given = merge(image_channels(sections), joined)
        merged = with_room(with_parity(merged, given.get("parity")), given)
        return cls.check(without_removed(merge(merged, given)))

    @classmethod
    def check(cls, data: Mapping[str, Any]) -> Recipe:
        """Validate plain data as a recipe, the parts in it too, and fill in all defaults."""
        from segdistill.data.augmentation import Augmentation
        from segdistill.data.intensity import INTENSITIES
        from segdistill.losses import SEGMENTATION_LOSSES
        from segdistill.teachers.combination import COMBINATIONS
        from segdistill.training.optimization import OPTIMIZERS

        recipe = section(cls, data, "")
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
        own_losses = [t for t in recipe.terms.values() if t.projector and _learns_apart(t.projector["type"])]
        for number, phase in enumerate(recipe.phases):
            if not phase.student and not (phase.reconstruction and own_losses):
                raise SegdistillError(
                    f"phases.{number}: nobody learns: the student does not, and no term has a projector with a loss "
                    "of its own (autoencoder, reconstruction, alignment); leave `student: false` out"
                )
            for term_name in phase.terms or ():
                if term_name not in recipe.terms:
                    raise SegdistillError(f"phases.{number}.terms: {unknown(term_name, recipe.terms)}")
        if recipe.phases and recipe.train.epochs < len(recipe.phases):
            raise SegdistillError(
                f"train.epochs: {len(recipe.phases)} phases need as many epochs at least, got {recipe.train.epochs}"
            )
        several = recipe.critic is not None or any(t.peer is not None for t in recipe.teachers.values())
        if recipe.train.precision == "16-mixed" and several:
            raise SegdistillError(
                "train.precision: 16-mixed scales the gradients of one optimizer, and peers and critics have their "
                "own; use bf16-mixed or 32-true"
            )
        if recipe.evaluate.slices != "all" and recipe.data.slices is None:
            raise SegdistillError(
                "evaluate.slices: is for volumes that are read as slices; set data.slices.axis, or leave it at `all`"
            )
        if recipe.critic is not None:
            if not recipe.teachers:
                raise SegdistillError("critic: there is no teacher whose answers it could compare with")
            recipe.critic.optimizer = complete(OPTIMIZERS, recipe.critic.optimizer, "critic.optimizer")
        _complete_train(recipe.train, "train", recipe.data.batch_size)
        for name, teacher in recipe.teachers.items():
            _complete_teacher(name, teacher, recipe)
        if "like" in recipe.student:
            recipe.student = like_a_teacher(recipe.student, recipe.teachers)
        recipe.student = complete_network(recipe.student, "student", student=True)
        return recipe

    def to_yaml(self) -> str:
        """The recipe with every default, as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)


def _learns_apart(projector: str) -> bool:
    """Whether a projector has a loss of its own."""
    from segdistill.projectors import PROJECTORS

    return hasattr(PROJECTORS[projector].part, "own_loss")


def _complete_term(name: str, term: TermSection, recipe: Recipe) -> None:
    """Check a term, the parts in it too, and fill in their defaults."""
    from segdistill.losses import LOSSES
    from segdistill.projectors import PROJECTORS
    from segdistill.schedules import WEIGHTS
    from segdistill.where import WHERE

    place = f"terms.{name}"
    if is_reserved(name):
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
    from segdistill.data.intensity import INTENSITIES
    from segdistill.teachers.sources import SOURCES
    from segdistill.teachers.view import View

    place = f"teachers.{name}"
    kinds = [key for key in ("run", "path", "peer", "average") if getattr(teacher, key) is not None]
    if len(kinds) > 1:
        raise SegdistillError(f"{place}: it is one of run, path, peer and average, got {' and '.join(kinds)}")
    for key in ("source", "folds", "network"):
        if getattr(teacher, key) is not None and (teacher.path is None) != (key == "network"):
            raise SegdistillError(
                f"{place}.{key}: is for a teacher {'without' if key == 'network' else 'at'} `path`; leave one out"
            )
    if teacher.source is not None:
        teacher.source = complete(SOURCES, teacher.source, f"{place}.source")
    if teacher.sees is not None:
        for channel, part in teacher.sees.channels.items():
            teacher.sees.channels[channel] = complete(INTENSITIES, part, f"{place}.sees.channels.{channel}")
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
    _complete_train(section(TrainSection, own, f"{place}.train"), f"{place}.train", recipe.data.batch_size)


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
