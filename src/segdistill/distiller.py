"""The central equation.

total = w_0 * sum_i v_i segmentation(student[logits_i], label)
      + sum_k w_k(epoch) * sum_t a_t sum_(s,q in pairs_k) loss_k(student[s], teacher_t[q])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segdistill.align import fuse, resize
from segdistill.losses.segmentation import IGNORE
from segdistill.networks.stages import catch, first_output, stage_names
from segdistill.schedules import Constant
from segdistill.teachers.teacher import Teacher

Stage = str | tuple[str, ...]
"""A stage, or several that are fused into one map."""


def names_of(stage: Stage) -> tuple[str, ...]:
    """The stages that a side of a pair asks for."""
    return (stage,) if isinstance(stage, str) else tuple(stage)


@dataclass(frozen=True)
class Term:
    """One term of the equation: a loss between stages of the student and of its teachers.

    Attributes:
        loss: `loss(student, teacher, where=None) -> scalar`, maps (batch, channel, *space).
        pairs: (student stage, teacher stage); a side may be a tuple of stages, which are fused.
        weight: w_k, of the epoch.
        teachers: names of the teachers it listens to; None is all of them.
        projector: makes a module from `(student_width=, teacher_width=, spatial_dims=)`; None where widths agree.
    """

    loss: Callable[..., Tensor]
    pairs: Sequence[tuple[Stage, Stage]] = (("logits", "logits"),)
    weight: Callable[[float], float] = field(default_factory=Constant)
    teachers: tuple[str, ...] | None = None
    projector: Callable[..., nn.Module] | None = None

    def listens_to(self, teacher: str) -> bool:
        """Whether the term compares with this teacher."""
        return self.teachers is None or teacher in self.teachers


class Distiller(nn.Module):
    """Student, teachers, segmentation loss and terms -> a dictionary of named, weighted losses.

    The student and the learned projectors are its parameters. Teachers are kept outside the module tree: frozen, in
    eval mode, not saved, not synchronised between devices.

    Args:
        student: any network with `stages()`, or any module (then it has the stage `logits` alone).
        teachers: what teaches, by name.
        segmentation: `loss(logits, label) -> scalar`; label (batch, layer, *space), -1 ignored.
        terms: the distillation terms, by name.
        segmentation_weight: w_0.
        head_weights: v_i of the student's deep supervision heads, full resolution first; the last one repeats halved.
        regions: labels are overlapping regions: each response channel is a two-class problem of its own.
        example: an image batch (1, channel, *space) to learn the widths of the stages from; needed with projectors.

    Raises:
        ValueError: a stage or teacher that does not exist, or widths that only a projector can bring together.
    """

    def __init__(
        self,
        student: nn.Module,
        teachers: Mapping[str, Teacher] | None = None,
        *,
        segmentation: Callable[[Tensor, Tensor], Tensor],
        terms: Mapping[str, Term] | None = None,
        segmentation_weight: float = 1.0,
        head_weights: Sequence[float] = (1.0, 0.5, 0.25, 0.125),
        regions: bool = False,
        example: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.student = student
        self.teachers = {name: teacher.freeze() for name, teacher in (teachers or {}).items()}
        self.segmentation = segmentation
        self.terms = dict(terms or {})
        self.segmentation_weight = segmentation_weight
        self.head_weights = tuple(head_weights)
        self.regions = regions
        self.pairing: list[dict[str, Any]] = []
        self.projectors = nn.ModuleDict()
        self._check_names()
        if self.terms:
            if example is None:
                raise ValueError(
                    "terms need `example`, an image batch (1, channel, *space), to learn the widths from"
                )
            self._pair(example)

    def forward(self, image: Tensor, label: Tensor, epoch: float = 0.0) -> dict[str, Tensor]:
        """Named losses of a batch, each with its weight applied, and their sum `total`.

        Args:
            image: (batch, channel, *space), preprocessed.
            label: (batch, layer, *space) of integers, -1 where ignored.
            epoch: for weights that change; may be a fraction.
        """
        with catch(self.student, self._wanted()) as student:
            output = self.student(image)
        heads = output if isinstance(output, (list, tuple)) else [first_output(output)]
        heads = [head.float() for head in heads]
        student["logits"] = heads[0]
        losses = {"segmentation": self.segmentation_weight * self._supervised(heads, label)}
        weights = {name: term.weight(epoch) for name, term in self.terms.items()}
        known = {name: self._ask(name, image) for name in self.teachers if self._has_weight(name, weights)}
        where = None if bool((label != IGNORE).all()) else (label[:, :1] != IGNORE).float()
        for name, term in self.terms.items():
            if weights[name]:
                losses[name] = weights[name] * self._compare(name, term, student, known, where)
        losses["total"] = torch.stack(list(losses.values())).sum()
        return losses

    def _supervised(self, heads: Sequence[Tensor], label: Tensor) -> Tensor:
        """sum_i v_i segmentation(head_i, label at the size of head_i)."""
        weights = list(self.head_weights[: len(heads)] or (1.0,))
        while len(weights) < len(heads):
            weights.append(weights[-1] / 2)
        total = heads[0].new_zeros(())
        for weight, head in zip(weights, heads, strict=True):
            target = label
            if head.shape[2:] != label.shape[2:]:
                target = F.interpolate(label.float(), head.shape[2:], mode="nearest-exact").to(label.dtype)
            total = total + weight * self.segmentation(head, target)
        return total

    def _ask(self, teacher: str, image: Tensor) -> dict[str, Tensor]:
        """What a teacher knows about this batch: logits and the stages that the terms ask for."""
        return self.teachers[teacher].knowledge(image, self._wanted(teacher))

    def _compare(
        self,
        name: str,
        term: Term,
        student: Mapping[str, Tensor],
        known: Mapping[str, Mapping[str, Tensor]],
        where: Tensor | None,
    ) -> Tensor:
        """sum_t a_t sum_pairs loss(student[s], teacher_t[q])."""
        total: Tensor = student["logits"].new_zeros(())
        for teacher, knowledge in known.items():
            if not term.listens_to(teacher):
                continue
            for number, (own, other) in enumerate(term.pairs):
                s, t = (
                    _map_of(student, own),
                    resize(_map_of(knowledge, other), _map_of(student, own).shape[2:]),
                )
                key = _key(name, number, teacher)
                if key in self.projectors:
                    s, t = self.projectors[key](s, t)
                value = self._loss(term, s.float(), t.float(), where, response=own == other == "logits")
                total = total + self.teachers[teacher].weight * value
        return total

    def _loss(
        self, term: Term, student: Tensor, teacher: Tensor, where: Tensor | None, response: bool
    ) -> Tensor:
        if where is not None:
            where = resize(where, student.shape[2:])
        regions = student.shape[1]
        if response and self.regions:
            student, teacher = two_classes(student), two_classes(teacher)
            where = None if where is None else where.repeat_interleave(regions, 0)
        # Autocast would run the softmaxes and norms of a loss in half precision.
        with torch.autocast(student.device.type, enabled=False):
            value = term.loss(student, teacher, where=where)
        return value * regions if response and self.regions else value

    def _has_weight(self, teacher: str, weights: Mapping[str, float]) -> bool:
        """Whether any term listens to this teacher now; a teacher that nobody listens to is not run."""
        return any(weights[name] and term.listens_to(teacher) for name, term in self.terms.items())

    def _wanted(self, teacher: str | None = None) -> tuple[str, ...]:
        """Stages that the terms ask of a teacher, or of the student."""
        side = 0 if teacher is None else 1
        terms = [term for term in self.terms.values() if teacher is None or term.listens_to(teacher)]
        return tuple(
            dict.fromkeys(name for term in terms for pair in term.pairs for name in names_of(pair[side]))
        )

    def _check_names(self) -> None:
        for name, term in self.terms.items():
            if name in ("segmentation", "total"):
                raise ValueError(f"terms.{name}: there is a loss of that name already; choose another")
            for teacher in term.teachers or ():
                if teacher not in self.teachers:
                    choices = ", ".join(self.teachers) or "none"
                    raise ValueError(
                        f"terms.{name}.teachers: {teacher!r} is not a teacher (teachers: {choices})"
                    )
            if not self.teachers:
                raise ValueError(f"terms.{name}: there is no teacher to compare with")
            sides = [("student", self.student, 0)]
            sides += [
                (f"teacher {t}", self.teachers[t].network, 1) for t in self.teachers if term.listens_to(t)
            ]
            for who, network, side in sides:
                known = stage_names(network)
                for stage in (stage for pair in term.pairs for stage in names_of(pair[side])):
                    if stage not in known:
                        raise ValueError(
                            f"terms.{name}: the {who} ({type(network).__name__}) has no stage {stage!r} "
                            f"(stages: {', '.join(known)})"
                        )

    @torch.no_grad()
    def _pair(self, example: Tensor) -> None:
        """Look once at the widths and sizes of all pairs, make the projectors, keep the table for the log."""
        mode = self.student.training
        self.student.eval()
        with catch(self.student, self._wanted()) as student:
            student["logits"] = first_output(self.student(example))
        self.student.train(mode)
        known = {name: self._ask(name, example) for name in self.teachers}
        for name, term in self.terms.items():
            for teacher in filter(term.listens_to, self.teachers):
                for number, (own, other) in enumerate(term.pairs):
                    s, t = _map_of(student, own), _map_of(known[teacher], other)
                    projected = term.projector is not None and s.shape[1] != t.shape[1]
                    row: dict[str, Any] = {"term": name, "student": own, "teacher": f"{teacher}: {other}"}
                    row |= {"student_map": list(s.shape[1:]), "teacher_map": list(t.shape[1:])}
                    self.pairing.append(row | {"resized": s.shape[2:] != t.shape[2:], "projected": projected})
                    if projected and term.projector is not None:
                        widths = {"student_width": s.shape[1], "teacher_width": t.shape[1]}
                        module = term.projector(**widths, spatial_dims=s.ndim - 2)
                        self.projectors[_key(name, number, teacher)] = module
                    elif s.shape[1] != t.shape[1] and getattr(term.loss, "needs_equal_width", True):
                        raise ValueError(
                            f"terms.{name}: {own} of the student has {s.shape[1]} channels, {other} of {teacher} "
                            f"{t.shape[1]}; give the term a projector (convolution or interpolation)"
                        )


def two_classes(logits: Tensor) -> Tensor:
    """(batch, region, *space) of sigmoid logits z -> (batch * region, 2, *space) of softmax logits [0, z]."""
    z = logits.flatten(0, 1)[:, None]
    return torch.cat([torch.zeros_like(z), z], dim=1)


def _map_of(maps: Mapping[str, Tensor], stage: Stage) -> Tensor:
    return maps[stage] if isinstance(stage, str) else fuse([maps[name] for name in stage])


def _key(term: str, number: int, teacher: str) -> str:
    return f"{term}:{number}:{teacher}".replace(".", "_")
