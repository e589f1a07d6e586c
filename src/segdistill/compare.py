"""The loss of one pair of stages: label maps, sizes, projector, spatial weights, and then the loss itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segdistill.align import resize
from segdistill.teachers.label_map import LabelMap
from segdistill.term import Stage, Term, is_response, map_of, same_size
from segdistill.truth import Truth

Maps = Mapping[str, Tensor]


@dataclass(frozen=True)
class Pair:
    """A stage of the student and one of a teacher, and all that brings them together.

    Attributes:
        own, other: the stages, or tuples of stages to fuse.
        projector: where the widths need one.
        labels: where the teacher knows other classes than the student.
        regions: the logits are of overlapping regions.
    """

    term: Term
    own: Stage
    other: Stage
    projector: nn.Module | None
    labels: LabelMap | None
    regions: bool

    @property
    def response(self) -> bool:
        """Whether both sides are logits."""
        return is_response(self.own) and is_response(self.other)

    def of_teacher(self, teacher: Maps) -> Tensor:
        """The teacher's map; of logits, the classes that the student learns from it."""
        found = map_of(teacher, self.other)
        return found if self.labels is None or not self.response else self.labels.of_teacher(found)

    def loss(
        self, student: Maps, teacher: Maps, truth: Truth, share: float | Tensor = 1.0, *, mirrored: bool = False
    ) -> Tensor:  # fmt: skip
        """loss(student[own], teacher[other]) times the teacher's share.

        Args:
            share: a number, or a map (batch, 1, *space) at the size of the logits.
            mirrored: the teacher's side learns from the student's.
        """
        s, t = self.together(student, teacher)
        return self.of(s, t, student, teacher, truth, share, mirrored=mirrored)

    def together(self, student: Maps, teacher: Maps) -> tuple[Tensor, Tensor]:
        """Both maps, of one size, width and set of classes."""
        s, t = map_of(student, self.own), self.of_teacher(teacher)
        s = self.labels.of_student(s) if self.response and self.labels is not None else s
        s, t = same_size(self.term, s, t)
        return (s, t) if self.projector is None else self.projector(s, t.float())

    def of(
        self, s: Tensor, t: Tensor, student: Maps, teacher: Maps, truth: Truth, share: float | Tensor = 1.0,
        *, mirrored: bool = False,
    ) -> Tensor:  # fmt: skip
        """`loss` of maps that `together` made; `student` and `teacher` are those that they are from."""
        size = s.shape[2:]
        given: dict[str, Tensor] = {}
        if getattr(self.term.loss, "needs_label", False):
            planes = truth.planes(size)
            given["label"] = self.labels.of_label(planes) if self.response and self.labels else planes
            given["labelled"] = truth.labelled(size)
        where = self._where(student, teacher, truth, mirrored)
        where = truth.where(size) if where is None else resize(where, size)
        if mirrored:  # a learned projector of the student's side would come to meet its own teacher
            s, t = t, s.detach()
        # A projector brings a feature map to the width of the regions: then it is compared as they are.
        as_logits = is_response(self.own) or (self.projector is not None and t.shape[1] == truth.classes)
        regions = self.regions and is_response(self.other) and as_logits
        if isinstance(share, Tensor) and share.ndim and getattr(self.term.loss, "by_voxel", False):
            return compare_by_voxel(self.term.loss, s, t, where, regions, resize(share, size), **given)
        value = compare(self.term.loss, s, t, where, regions, **given)
        return value * (share.mean() if isinstance(share, Tensor) else share)

    def _where(self, student: Maps, teacher: Maps, truth: Truth, mirrored: bool) -> Tensor | None:
        """The spatial weight of the term at the size of the logits, 0 at ignored voxels."""
        if self.term.where is None:
            return None
        s, t = (maps["logits"].detach().float() for maps in (student, teacher))
        planes = truth.planes(s.shape[2:])
        if self.labels is not None:
            s, t = self.labels.of_student(s), self.labels.of_teacher(t)
            planes = self.labels.of_label(planes)
        s, t = probabilities(s, self.regions), resize(probabilities(t, self.regions), s.shape[2:])
        where, acts = self.term.where(planes, *((t, s) if mirrored else (s, t))), truth.where(s.shape[2:])
        if getattr(self.term.where, "needs_label", True):  # planes of 0 would read as background
            acts = truth.labelled(s.shape[2:])
        return where if acts is None else where * acts


def compare(
    loss: Callable[..., Tensor],
    student: Tensor,
    teacher: Tensor,
    where: Tensor | None,
    regions: bool,
    *,
    label: Tensor | None = None,
    labelled: Tensor | None = None,
) -> Tensor:
    """The loss of one pair of maps, in float32: autocast would run its softmaxes and norms in half precision.

    Args:
        student, teacher: (batch, channel, *space).
        where: (batch, 1, *space), 0 at ignored voxels.
        regions: the maps are sigmoid logits. A loss over classes then sees each region as a two-class problem, and
            the regions are summed as classes are.
        label: (batch, class, *space) planes, for losses that need the label.
        labelled: (batch, 1, *space), 0 where the label says nothing; None: everywhere.
    """
    count = student.shape[1]
    as_classes = regions and getattr(loss, "over_classes", False)
    if as_classes:
        student, teacher = two_classes(student), two_classes(teacher)
        where = None if where is None else where.repeat_interleave(count, 0)
        label = None if label is None else two_planes(label, labelled)
    given = {"label": label} if getattr(loss, "needs_label", False) else {}
    as_recorded = getattr(loss, "half_teacher", False)
    with torch.autocast(student.device.type, enabled=False):
        value = loss(student.float(), teacher if as_recorded else teacher.float(), where=where, **given)
    return value * count if as_classes else value


def compare_by_voxel(
    loss: Callable[..., Tensor], student: Tensor, teacher: Tensor, where: Tensor | None, regions: bool,
    share: Tensor, *, label: Tensor | None = None, labelled: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The same with a share (batch, 1, *space) for each voxel: mean over the batch of sum_n share_n value_n / N.

    Sample by sample, since a loss divides by the sum of the weights of each sample: that is put back.
    """
    each = []
    for n in range(len(student)):
        one = slice(n, n + 1)
        base = torch.ones_like(share[one]) if where is None else where[one]
        weight = base * share[one]
        value = compare(
            loss, student[one], teacher[one], weight, regions,
            label=None if label is None else label[one], labelled=None if labelled is None else labelled[one],
        )  # fmt: skip
        each.append(value * weight.sum() / base.sum().clamp_min(1e-6))
    return torch.stack(each).mean()


def probabilities(logits: Tensor, regions: bool) -> Tensor:
    """Probabilities of exclusive classes, or of each region."""
    return logits.sigmoid() if regions else logits.softmax(1)


def two_classes(logits: Tensor) -> Tensor:
    """(batch, region, *space) of sigmoid logits z -> (batch * region, 2, *space) of softmax logits [0, z]."""
    z = logits.flatten(0, 1)[:, None]
    return torch.cat([torch.zeros_like(z), z], dim=1)


def two_planes(planes: Tensor, labelled: Tensor | None) -> Tensor:
    """(batch, region, *space) -> (batch * region, 2, *space): outside and inside; both 0 where nothing is labelled."""
    known = torch.ones_like(planes) if labelled is None else labelled.expand_as(planes)
    return torch.stack([known - planes, planes], dim=2).flatten(0, 1)
