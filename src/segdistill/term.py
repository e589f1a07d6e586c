"""One term of the equation, and how its maps are paired."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from segdistill.align import fuse, resize
from segdistill.networks.stages import stage_names
from segdistill.projectors import PROJECTORS
from segdistill.schedules import Constant
from segdistill.sections.objective import is_reserved
from segdistill.teachers.label_map import LabelMap
from segdistill.teachers.teacher import Teacher

Stage = str | tuple[str, ...]
"""A stage, or several that are fused into one map."""

SELF = "the student itself"
"""The name by which the student is its own teacher; a teacher called `student` is another."""


@dataclass(frozen=True)
class Term:
    """A loss between stages of the student and of its teachers.

    Attributes:
        loss: `loss(student, teacher, where=None) -> scalar`, maps (batch, channel, *space); with `label=` where it says
            `needs_label`.
        pairs: (student stage, teacher stage); a side may be a tuple of stages, which are fused.
        weight: w_k, of the epoch.
        teachers: names of the teachers it listens to; None is all of them.
        teacher_is: `student`: its own stages are the teacher's, without gradient (self-distillation).
        where: a spatial weight: `where(label planes, student, teacher) -> (batch, 1, *space)` of class probabilities.
        resize: which map is brought to the size of the other.
        projector: makes a module from `(student_width=, teacher_width=, spatial_dims=)`; used where widths differ.
        project_always: it is used where the widths agree, too.
    """

    loss: Callable[..., Tensor]
    pairs: Sequence[tuple[Stage, Stage]] = (("logits", "logits"),)
    weight: Callable[[float], float] = field(default_factory=Constant)
    teachers: tuple[str, ...] | None = None
    teacher_is: Literal["student"] | None = None
    where: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    resize: Literal["teacher", "student"] = "teacher"
    projector: Callable[..., nn.Module] | None = None
    project_always: bool = False

    def listens_to(self, teacher: str) -> bool:
        """Whether the term compares with this teacher."""
        if self.teacher_is is not None:
            return teacher == SELF
        return teacher != SELF and (self.teachers is None or teacher in self.teachers)

    def stages(self, side: int) -> tuple[str, ...]:
        """All stages it asks of the student (side 0) or of a teacher (side 1)."""
        return tuple(dict.fromkeys(name for pair in self.pairs for name in names_of(pair[side])))


def names_of(stage: Stage) -> tuple[str, ...]:
    """The stages that a side of a pair asks for."""
    return (stage,) if isinstance(stage, str) else tuple(stage)


def map_of(maps: Mapping[str, Tensor], stage: Stage) -> Tensor:
    """The map of a stage, or the fused maps of several."""
    return maps[stage] if isinstance(stage, str) else fuse([maps[name] for name in stage])


def is_response(stage: Stage) -> bool:
    """Whether a side of a pair is logits, at whatever resolution."""
    return all(name.split("/")[0] == "logits" for name in names_of(stage))


def wanted(terms: Iterable[Term], side: int) -> tuple[str, ...]:
    """Stages that terms ask of the student (side 0) or of a teacher (side 1)."""
    return tuple(dict.fromkeys(name for term in terms for name in term.stages(side)))


def wanted_of_student(terms: Iterable[Term]) -> tuple[str, ...]:
    """Stages that terms ask of the student, as such and as its own teacher."""
    terms = list(terms)
    return tuple(dict.fromkeys((*wanted(terms, 0), *wanted([t for t in terms if t.teacher_is], 1))))


def key_of(term: str, number: int, teacher: str) -> str:
    """The name of the projector of a term's pair with a teacher."""
    return f"{term}:{number}:{teacher}".replace(".", "_")


def check_terms(terms: Mapping[str, Term], student: nn.Module, teachers: Mapping[str, Teacher]) -> None:
    """See that every teacher and stage that the terms name exists.

    Raises:
        ValueError: one does not; the term, the name and the choices are told.
    """
    for name, term in terms.items():
        if is_reserved(name):
            raise ValueError(f"terms.{name}: there is a loss of that name already; choose another")
        if term.teacher_is is not None:
            _check_stages(
                name, f"student ({_kind(student)})", stage_names(student), (*term.stages(0), *term.stages(1))
            )
            continue
        if not teachers:
            raise ValueError(f"terms.{name}: there is no teacher to compare with")
        for teacher in term.teachers or ():
            if teacher not in teachers:
                choices = ", ".join(teachers)
                raise ValueError(f"terms.{name}.teachers: {teacher!r} is not a teacher (teachers: {choices})")
        _check_stages(name, f"student ({_kind(student)})", stage_names(student), term.stages(0))
        for teacher in filter(term.listens_to, teachers):
            given = teachers[teacher]
            kind = "recorded" if given.network is None else _kind(given.network)
            _check_stages(name, f"teacher {teacher} ({kind})", given.stages, term.stages(1))


def _kind(network: nn.Module) -> str:
    return type(network).__name__


def _check_stages(term: str, who: str, known: Sequence[str], stages: Iterable[str]) -> None:
    for stage in stages:
        if stage not in known:
            raise ValueError(f"terms.{term}: the {who} has no stage {stage!r} (stages: {', '.join(known)})")


def pair(
    terms: Mapping[str, Term],
    student: Mapping[str, Tensor],
    teachers: Mapping[str, Mapping[str, Tensor]],
    labels: Mapping[str, LabelMap] | None = None,
) -> tuple[list[dict[str, Any]], nn.ModuleDict]:
    """Look at the widths and sizes of all pairs: a table of them for the log, and the projectors they need.

    Args:
        student: one map of each stage that the terms ask for.
        teachers: the same for each teacher, the student among them where it is its own.
        labels: of the teachers that do not know the student's classes.

    Raises:
        ValueError: widths differ, the loss minds, and the term has no projector; or a projector that cannot be made.
    """
    table: list[dict[str, Any]] = []
    projectors = nn.ModuleDict()
    for name, term in terms.items():
        for teacher in filter(term.listens_to, teachers):
            for number, (own, other) in enumerate(term.pairs):
                s, t = map_of(student, own), map_of(teachers[teacher], other)
                if is_response(own) and is_response(other) and teacher in (labels or {}):
                    s, t = labels[teacher].of_student(s), labels[teacher].of_teacher(t)  # type: ignore[index]
                widths_differ, resized = s.shape[1] != t.shape[1], s.shape[2:] != t.shape[2:]
                projected = term.projector is not None and (widths_differ or term.project_always)
                place = (
                    f"terms.{name}: {_told(own)} of the student has {s.shape[1]} channels, "
                    f"{_told(other)} of {teacher} {t.shape[1]}"
                )
                if projected and term.projector is not None:
                    widths = {"student_width": s.shape[1], "teacher_width": t.shape[1]}
                    try:
                        projector = term.projector(**widths, spatial_dims=s.ndim - 2)
                        with torch.no_grad():
                            projector(*same_size(term, s, t))
                    except (ValueError, RuntimeError) as error:
                        raise ValueError(
                            f"{place}; the projector cannot bring them together: {error}"
                        ) from error
                    projectors[key_of(name, number, teacher)] = projector.to(s.device)
                elif widths_differ and getattr(term.loss, "needs_equal_width", True):
                    fit = ", ".join(PROJECTORS)
                    raise ValueError(
                        f"{place}; give the term a projector ({fit}), or a loss that takes any width"
                    )
                row: dict[str, Any] = {"term": name, "student": own, "teacher": f"{teacher}: {other}"}
                row |= {"student_map": list(s.shape[1:]), "teacher_map": list(t.shape[1:])}
                row |= {"resized": resized and term.resize, "projected": projected}
                table.append(row | {"key": key_of(name, number, teacher)})
    return table, projectors


def same_size(term: Term, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps at the size of the one that the term leaves as it is."""
    if term.resize == "student":
        return resize(student, teacher.shape[2:]), teacher
    return student, resize(teacher, student.shape[2:])


def _told(stage: Stage) -> str:
    return stage if isinstance(stage, str) else " + ".join(stage)
