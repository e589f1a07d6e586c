"""The equation's terms: the supervised one, those of distillation, the critic's."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from segdistill.sections.section import NonNegative, Part, PositiveInt, Section, Settings

RESERVED = ("segmentation", "total", "holistic", "critic")
Stages = str | Annotated[list[str], Field(min_length=1)]


class SegmentationSection(Section):
    """The supervised part of the equation."""

    loss: Part = {"type": "dice_focal"}
    weight: NonNegative = 1.0
    head_weights: Annotated[list[NonNegative], Field(min_length=1)] = [1.0, 0.5, 0.25, 0.125]


def is_reserved(name: str) -> bool:
    """Whether the log has, or may have, a loss of that name already, so that no term can have it."""
    return name in RESERVED or name.startswith("peer ") or " of " in name or name.endswith(" reconstruction")


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

    weight: Annotated[float, Field(gt=0)] = 0.1
    width: PositiveInt = 32
    layers: Annotated[int, Field(ge=1, le=5)] = 2
    penalty: NonNegative = 10.0
    optimizer: Part = {"type": "adam", "lr": 4.0e-4}
