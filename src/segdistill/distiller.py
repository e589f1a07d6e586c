"""The central equation.

total = w_0 * sum_i v_i segmentation(student[logits_i], label)
      + sum_k w_k(epoch) * sum_t a_t sum_(s,q in pairs_k) loss_k(student[s], teacher_t[q])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segdistill.align import resize
from segdistill.losses.segmentation import IGNORE
from segdistill.networks.stages import catch, first_output
from segdistill.teachers.teacher import Teacher
from segdistill.term import Stage, Term, check_terms, key_of, map_of, names_of, pair, wanted

Maps = Mapping[str, Tensor]


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
        example: an image batch (1, channel, *space) to learn the widths of the stages from; needed with terms.

    Raises:
        ValueError: a stage or teacher that does not exist, a teacher that is the student itself, or widths that only
            a projector can bring together.
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
        for name, teacher in (teachers or {}).items():
            if teacher.network is student:
                raise ValueError(
                    f"teachers.{name} is the student itself, which would be frozen; give it a copy"
                )
        self.student = student
        self.teachers = {name: teacher.freeze() for name, teacher in (teachers or {}).items()}
        self.segmentation = segmentation
        self.terms = dict(terms or {})
        self.segmentation_weight = segmentation_weight
        self.head_weights = tuple(head_weights) or (1.0,)
        self.regions = regions
        check_terms(self.terms, student, {name: teacher.network for name, teacher in self.teachers.items()})
        self.pairing, self.projectors = (
            pair(self.terms, *self._look(example)) if self.terms else ([], nn.ModuleDict())
        )

    def forward(self, image: Tensor, label: Tensor, epoch: float = 0.0) -> dict[str, Tensor]:
        """Named losses of a batch, each with its weight applied, and their sum `total`.

        Args:
            image: (batch, channel, *space), preprocessed.
            label: (batch, layer, *space) of integers, -1 where ignored.
            epoch: for weights that change; may be a fraction.
        """
        with catch(self.student, wanted(self.terms.values(), side=0)) as student:
            output = self.student(image)
        heads = output if isinstance(output, (list, tuple)) else [first_output(output)]
        heads = [head.float() for head in heads]
        student["logits"] = heads[0]
        losses = {"segmentation": self.segmentation_weight * self._supervised(heads, label)}
        weights = {name: weight for name, term in self.terms.items() if (weight := term.weight(epoch))}
        known = {name: self._ask(name, image) for name in self.teachers if self._is_heard(name, weights)}
        counts = label[:, :1] != IGNORE
        where = None if bool(counts.all()) else counts.float()
        for name, weight in weights.items():
            losses[name] = weight * self._compare(name, student, known, where)
        losses["total"] = torch.stack(list(losses.values())).sum()
        return losses

    def _supervised(self, heads: Sequence[Tensor], label: Tensor) -> Tensor:
        """sum_i v_i segmentation(head_i, label at the size of head_i)."""
        weights = list(self.head_weights[: len(heads)])
        while len(weights) < len(heads):
            weights.append(weights[-1] / 2)
        total = heads[0].new_zeros(())
        for weight, head in zip(weights, heads, strict=True):
            target = label
            if head.shape[2:] != label.shape[2:]:
                target = F.interpolate(label.float(), head.shape[2:], mode="nearest-exact").to(label.dtype)
            total = total + weight * self.segmentation(head, target)
        return total

    def _compare(self, name: str, student: Maps, known: Mapping[str, Maps], where: Tensor | None) -> Tensor:
        """sum_t a_t sum_pairs loss(student[s], teacher_t[q])."""
        term = self.terms[name]
        total: Tensor = student["logits"].new_zeros(())
        for teacher in filter(term.listens_to, known):
            for number, (own, other) in enumerate(term.pairs):
                s = map_of(student, own)
                t = resize(map_of(known[teacher], other), s.shape[2:])
                key = key_of(name, number, teacher)
                if key in self.projectors:
                    s, t = self.projectors[key](s, t)
                regions = self.regions and is_response(own) and is_response(other)
                total = total + self.teachers[teacher].weight * compare(term, s, t, where, regions)
        return total

    def _is_heard(self, teacher: str, weights: Mapping[str, float]) -> bool:
        """Whether a teacher has any weight now; one that nobody listens to is not run."""
        heard = any(self.terms[name].listens_to(teacher) for name in weights)
        return heard and self.teachers[teacher].weight > 0

    def _ask(self, teacher: str, image: Tensor) -> dict[str, Tensor]:
        """What a teacher knows about a batch: logits and the stages that the terms ask of it."""
        terms = (term for term in self.terms.values() if term.listens_to(teacher))
        return self.teachers[teacher].knowledge(image, wanted(terms, side=1))

    @torch.no_grad()
    def _look(self, example: Tensor | None) -> tuple[Maps, Mapping[str, Maps]]:
        """One map of every stage that the terms ask for, of the student and of each teacher."""
        if example is None:
            raise ValueError(
                "terms need `example`, an image batch (1, channel, *space), to learn the widths from"
            )
        mode = self.student.training
        self.student.eval()
        with catch(self.student, wanted(self.terms.values(), side=0)) as student:
            student["logits"] = first_output(self.student(example))
        self.student.train(mode)
        return student, {name: self._ask(name, example) for name in self.teachers}


def compare(term: Term, student: Tensor, teacher: Tensor, where: Tensor | None, regions: bool) -> Tensor:
    """The loss of one pair of maps, in float32: autocast would run its softmaxes and norms in half precision.

    Args:
        where: (batch, 1, *space), 0 at ignored voxels; brought to the size of the maps.
        regions: the maps are sigmoid logits. A loss over classes then sees each region as a two-class problem, and
            the regions are summed as classes are.
    """
    count = student.shape[1]
    as_classes = regions and getattr(term.loss, "over_classes", False)
    where = None if where is None else resize(where, student.shape[2:])
    if as_classes:
        student, teacher = two_classes(student), two_classes(teacher)
        where = None if where is None else where.repeat_interleave(count, 0)
    with torch.autocast(student.device.type, enabled=False):
        value = term.loss(student.float(), teacher.float(), where=where)
    return value * count if as_classes else value


def is_response(stage: Stage) -> bool:
    """Whether a side of a pair is logits, at whatever resolution."""
    return all(name.split("/")[0] == "logits" for name in names_of(stage))


def two_classes(logits: Tensor) -> Tensor:
    """(batch, region, *space) of sigmoid logits z -> (batch * region, 2, *space) of softmax logits [0, z]."""
    z = logits.flatten(0, 1)[:, None]
    return torch.cat([torch.zeros_like(z), z], dim=1)
