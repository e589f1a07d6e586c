"""Which of the student's classes a teacher knows: partial and differing label maps, matched by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Groups = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class LabelMap:
    """Channels of the student and of a teacher that mean the same, group by group.

    The softmax probabilities of a group are added up (in logits: logsumexp). The first group of exclusive classes is
    the background, with every class that the other side does not know: a student that learns liver and tumour is
    compared with a liver teacher as liver against the rest (the marginal loss for partial labels: Shi et al., 2021,
    arXiv:2007.03868). Regions are compared one by one, those that are not shared are left out.

    Attributes:
        student, teacher: for each group the channels that belong to it; as many groups on both sides.
    """

    student: Groups
    teacher: Groups

    @classmethod
    def by_name(
        cls,
        ours: Sequence[str],
        theirs: Sequence[str],
        wanted: Sequence[str] | Mapping[str, str | Sequence[str]] | None,
        regions: bool,
    ) -> LabelMap | None:
        """Match the student's classes `ours` with the teacher's `theirs`; None where all are the same.

        Args:
            wanted: the classes to learn from this teacher, by the student's names; or {student's: teacher's name or
                names}. Several classes of the student may share one of the teacher, which counts them as one.
                None: all, which both must have.

        Raises:
            ValueError: a name that does not exist, or classes that differ and no `wanted`.
        """
        if wanted is None:
            if tuple(ours) == tuple(theirs):
                return None
            if set(ours) != set(theirs):
                raise ValueError(
                    f"the teacher knows {', '.join(theirs)}, the student learns {', '.join(ours)}: say by `classes` "
                    "what to learn from it, a list of shared names or {student's class: teacher's class}"
                )
            wanted = list(ours)
        pairs = wanted if isinstance(wanted, Mapping) else {name: name for name in wanted}
        groups: dict[tuple[int, ...], list[int]] = {}  # channels of the teacher -> of the student
        start = 0 if regions else 1
        for own, other in pairs.items():
            names = [other] if isinstance(other, str) else list(other)
            for name, known, who in [(own, ours, "student"), *((n, theirs, "teacher") for n in names)]:
                if name not in known:
                    raise ValueError(f"the {who} has no class {name!r} (it has: {', '.join(known)})")
            channels = tuple(sorted(start + list(theirs).index(name) for name in names))
            groups.setdefault(channels, []).append(start + list(ours).index(own))
        if not groups:
            raise ValueError(
                "`classes` is empty: the teacher would teach nothing; set its weight to 0 instead"
            )
        named = [channel for channels in groups for channel in channels]
        if len(set(named)) < len(named):
            raise ValueError("a class of the teacher stands in two groups; give each of them once")
        student, teacher = [tuple(group) for group in groups.values()], list(groups)
        if not regions:
            student.insert(0, _rest(len(ours) + 1, student))
            teacher.insert(0, _rest(len(theirs) + 1, teacher))
        elif any(len(group) > 1 for group in (*student, *teacher)):
            raise ValueError("overlapping regions are compared one by one: give one name for each")
        return cls(tuple(student), tuple(teacher))

    def of_student(self, logits: Tensor) -> Tensor:
        """(batch, class, *space) of the student -> (batch, group, *space)."""
        return merged(logits, self.student)

    def of_teacher(self, logits: Tensor) -> Tensor:
        """(batch, class, *space) of the teacher -> (batch, group, *space)."""
        return merged(logits, self.teacher)

    def of_label(self, planes: Tensor) -> Tensor:
        """Planes of the student's classes -> planes of the groups."""
        return torch.stack([planes[:, list(group)].amax(1) for group in self.student], dim=1)


def merged(logits: Tensor, groups: Groups) -> Tensor:
    """Logits whose softmax is the sum of the softmax over each group."""
    return torch.stack([logits[:, list(group)].logsumexp(1) for group in groups], dim=1)


def _rest(channels: int, groups: Sequence[Sequence[int]]) -> tuple[int, ...]:
    named = {channel for group in groups for channel in group}
    return tuple(channel for channel in range(channels) if channel not in named)
