"""The central equation.

total = w_0 * sum_i v_i segmentation(student[logits_i], label)
      + sum_k w_k(epoch) * sum_t a_t sum_(s,q in pairs_k) loss_k(student[s], teacher_t[q])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segdistill.compare import Pair
from segdistill.critic import Critic
from segdistill.listening import Combine, Voice, listen
from segdistill.mutual import Answer, answers, learn
from segdistill.networks.domains import ask
from segdistill.networks.stages import catch, first_output, heads_of
from segdistill.phases import Phase, phase_at
from segdistill.reconstruction import reconstruct
from segdistill.teachers.combination import Sum
from segdistill.teachers.teacher import Teacher
from segdistill.term import (
    SELF,
    Term,
    check_terms,
    is_response,
    key_of,
    pair,
    wanted,
    wanted_of_student,
)
from segdistill.truth import Truth, absent

Maps = Mapping[str, Tensor]
Told = Mapping[str, Maps]
ALWAYS = Phase("", 0, 1)


class Distiller(nn.Module):
    """Student, teachers, segmentation loss and terms -> a dictionary of named, weighted losses.

    The student, its peers, the moving averages of it, the learned projectors and the critic are its parameters.
    Frozen teachers are kept outside the module tree: in eval mode, not saved, not synchronised between devices.

    Args:
        student: any network with `stages()`, or any module (then it has the stage `logits` alone).
        teachers: what teaches, by name.
        segmentation: `loss(logits, label) -> scalar`; label (batch, layer, *space), -1 ignored.
        terms: the distillation terms, by name.
        segmentation_weight: w_0.
        head_weights: v_i of the student's deep supervision heads, full resolution first; the last one repeats halved.
        regions: labels are overlapping regions: each response channel is a two-class problem of its own.
        example: an image batch (1, channel, *space) to learn the widths of the stages from; needed with terms.
        inputs: which channels of the images the student sees; None: all.
        combine: how several teachers are combined (`teachers.combination`); their sum by default.
        phases: what acts when; none: everything always.
        critic: judges the student's answers beside the teachers', as the loss `holistic` with the weight after it.

    Raises:
        ValueError: a stage or teacher that does not exist, a teacher that is the student itself, widths that only
            a projector can bring together, or a critic without a teacher.
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
        inputs: Sequence[int] | None = None,
        combine: Combine | None = None,
        phases: Sequence[Phase] = (),
        critic: tuple[Critic, float] | None = None,
    ) -> None:
        super().__init__()
        for name, teacher in (teachers or {}).items():
            if teacher.network is student:
                raise ValueError(
                    f"teachers.{name} is the student itself, which would be frozen; give it a copy"
                )
        self.student = student
        self.teachers = {name: teacher.freeze() for name, teacher in (teachers or {}).items()}
        self.learning = nn.ModuleDict(
            {f"teacher:{n}".replace(".", "_"): t.module for n, t in self.teachers.items() if t.learns}
        )
        self.segmentation = segmentation
        self.terms = dict(terms or {})
        self.segmentation_weight = segmentation_weight
        self.head_weights = tuple(head_weights) or (1.0,)
        self.regions = regions
        self.inputs = None if inputs is None else list(inputs)
        self.combine: Combine = combine or Sum()
        self.phases = tuple(phases)
        if critic is not None and not any(t.weight > 0 and t.peer is None for t in self.teachers.values()):
            raise ValueError("critic: there is no teacher whose answers it could tell the student's from")
        self.critic = None if critic is None else critic[0]
        self.holistic_weight = 0.0 if critic is None else critic[1]
        self.left_out: dict[str, Tensor] = {}
        """By term, since it was last emptied: the samples without each class, and last how many were labelled."""
        check_terms(self.terms, student, self.teachers)
        self.pairing: list[dict[str, Any]] = []
        self.projectors = nn.ModuleDict()
        if self.terms:
            labels = {name: t.labels for name, t in self.teachers.items() if t.labels is not None}
            student_maps, known = self._look(example)
            self.pairing, self.projectors = pair(self.terms, student_maps, known, labels)
            self._rehearse(student_maps, known)
        self.sizes = {
            row.pop("key"): row["teacher_map" if row["resized"] == "student" else "student_map"][1:]
            for row in self.pairing
        }

    @property
    def peers(self) -> dict[str, Teacher]:
        """The teachers that are trained beside the student."""
        return {name: teacher for name, teacher in self.teachers.items() if teacher.peer is not None}

    def learners(self) -> dict[str, list[nn.Parameter]]:
        """What is trained, a group for each optimizer: the student with its projectors, each peer, the critic."""
        groups = {"student": [*self.student.parameters(), *self.projectors.parameters()]}
        if isinstance(self.combine, nn.Module):
            groups["student"] += self.combine.parameters()
        groups |= {f"peer {name}": list(peer.module.parameters()) for name, peer in self.peers.items()}
        if self.critic is not None:
            groups["critic"] = list(self.critic.parameters())
        return {name: [p for p in group if p.requires_grad] for name, group in groups.items()}

    def follow(self, done: float) -> None:
        """Let the moving averages follow the student, after a step; `done` is the share of training that is over."""
        for teacher in self.teachers.values():
            if teacher.average is not None:
                teacher.average.follow(teacher.module, self.student, done)

    def seen(self, image: Tensor) -> Tensor:
        """The channels of the images that the student sees."""
        return image if self.inputs is None else image[:, self.inputs]

    def forward(
        self,
        image: Tensor,
        label: Tensor,
        epoch: float = 0.0,
        site: Tensor | None = None,
        told: Told | None = None,
        inside: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Named losses of a batch, each with its weight applied, and their sum `total`.

        With a critic there is also its own loss, `critic`, which is no part of the total: backward their sum.

        Args:
            image: (batch, channel, *space), preprocessed.
            label: (batch, layer, *space) of integers, -1 where ignored, -2 in images without label.
            epoch: for weights and phases that change; may be a fraction.
            site: (batch,) numbers of the sites that the images are from, for peers of one site and networks that
                adapt to it.
            told: by teacher and stage what was recorded of this batch, (batch, channel, *size).
            inside: (batch, 1, *space), whether a voxel lies in the image; needed with what was recorded.

        Raises:
            ValueError: nothing is told of a teacher that was recorded.
        """
        told = told or {}
        phase = phase_at(self.phases, epoch) or ALWAYS
        acting = {n: t for n, t in self.terms.items() if phase.terms is None or n in phase.terms}
        weights = {name: weight for name, term in acting.items() if (weight := term.weight(epoch))}
        if not phase.student:
            with torch.no_grad():
                said = answers(self.peers, image, site, self._asked_of)
            return self._with_total(self._reconstructed(image, {}, said, site, told), image)
        with catch(self.student, wanted_of_student(self.terms.values())) as student:
            heads = heads_of(ask(self.student, self.seen(image), site))
        student["logits"] = heads[0]
        truth = Truth(label, heads[0].shape[1], self.regions, inside)
        supervision = self.segmentation_weight * phase.segmentation
        losses = {"segmentation": supervision * self._supervised(heads, truth)}
        said = answers(self.peers, image, site, self._asked_of)
        known = self._known(image, student, weights, site, told)
        for name, weight in weights.items():
            losses[name] = weight * listen(student, self._voices(name, known, said), self.combine, truth)
            self._count(name, truth)
        losses |= learn(
            self.peers, said, student, truth, weights, self._pairs,
            lambda heads, part: supervision * self._supervised(heads, part),
        )  # fmt: skip
        if phase.reconstruction:
            losses |= self._reconstructed(image, known, said, site, told)
        if self.critic is None:
            return self._with_total(losses, image)
        taught = [maps["logits"] for name, maps in known.items() if name != SELF]
        logits = student["logits"]
        if inside is not None:  # where nothing was recorded, both are told alike
            logits, taught = logits * inside, [each * inside for each in taught]
        holistic, own = self.critic.losses(logits, taught, self.regions)
        losses["holistic"] = self.holistic_weight * holistic
        return self._with_total(losses, image) | {"critic": own}

    def _with_total(self, losses: dict[str, Tensor], image: Tensor) -> dict[str, Tensor]:
        return losses | {"total": torch.stack([image.new_zeros(()), *losses.values()]).sum()}

    def _supervised(self, heads: Sequence[Tensor], truth: Truth) -> Tensor:
        """sum_i v_i segmentation(head_i, label at the size of head_i), over the images that have a label."""
        if bool(truth.unlabelled.any()):
            kept = (~truth.unlabelled).nonzero()[:, 0]
            if not len(kept):
                return torch.stack([head.sum() * 0 for head in heads]).sum()
            heads, truth = [head[kept] for head in heads], truth.of(kept)
        weights = list(self.head_weights[: len(heads)])
        while len(weights) < len(heads):
            weights.append(weights[-1] / 2)
        total = heads[0].new_zeros(())
        for weight, head in zip(weights, heads, strict=True):
            total = total + weight * self.segmentation(head, truth.at(head.shape[2:]))
        return total

    def _known(
        self, image: Tensor, student: Maps, weights: Mapping[str, float], site: Tensor | None, told: Told
    ) -> dict[str, Maps]:
        """What the student itself and each teacher that is heard know of a batch, without gradient; peers apart."""
        known: dict[str, Maps] = {}
        if any(term.teacher_is for term in self.terms.values()):
            known[SELF] = {name: each.detach() for name, each in student.items()}
        for name, teacher in self.teachers.items():
            heard = any(self.terms[term].listens_to(name) for term in weights) or self.critic is not None
            if heard and teacher.weight > 0 and teacher.peer is None:
                known[name] = self._answer(name, image, site, told)
        return known

    def _answer(self, name: str, image: Tensor, site: Tensor | None, told: Told) -> Maps:
        """What a teacher says: what was recorded of it, or what its network answers now."""
        teacher = self.teachers[name]
        if teacher.recorded is None:
            return teacher.knowledge(image, self._asked_of(name), site)
        if name not in told:
            raise ValueError(f"teachers.{name} was recorded, and nothing of that is told of this batch")
        return {stage: each.float() if is_response(stage) else each for stage, each in told[name].items()}

    def _asked_of(self, teacher: str) -> tuple[str, ...]:
        """The stages that the terms ask of a teacher."""
        return wanted((term for term in self.terms.values() if term.listens_to(teacher)), side=1)

    def _voices(self, name: str, known: Mapping[str, Maps], said: Mapping[str, Answer]) -> list[Voice]:
        """What the teachers that a term listens to say; the own side of a detached peer stays as it is."""
        voices = []
        for teacher, maps in known.items():
            if pairs := self._pairs(name, teacher):
                score = None if teacher == SELF else self.teachers[teacher].score
                voices.append(Voice(teacher, pairs, maps, self._weight(teacher), score))
        for peer, answer in said.items():
            how, pairs = self.teachers[peer].peer, self._pairs(name, peer)
            if how is not None and pairs and self._weight(peer):
                maps = {key: m.detach() if how.detach else m for key, m in answer.maps.items()}
                samples = None if how.site is None else answer.samples
                voices.append(Voice(peer, pairs, maps, self._weight(peer), samples=samples))
        return voices

    def _pairs(self, name: str, teacher: str) -> list[Pair]:
        """The pairs of a term with a teacher; none where it does not listen."""
        term = self.terms[name]
        if not term.listens_to(teacher):
            return []
        labels = None if teacher == SELF else self.teachers[teacher].labels
        known = dict(self.projectors.items())
        return [
            Pair(term, own, other, known.get(key_of(name, number, teacher)), labels, self.regions)
            for number, (own, other) in enumerate(term.pairs)
        ]

    def _weight(self, teacher: str) -> float:
        return 1.0 if teacher == SELF else self.teachers[teacher].weight

    @torch.no_grad()
    def _count(self, name: str, truth: Truth) -> None:
        """Remember, for a term that needs the label, how many samples lacked each class, of how many with a label."""
        term = self.terms[name]
        if not getattr(term.loss, "needs_label", False):
            return
        size = self.sizes[key_of(name, 0, next(filter(term.listens_to, [SELF, *self.teachers])))]
        labelled = truth.labelled(size).flatten(1).any(1)
        counts = torch.cat([absent(truth.planes(size), labelled), labelled.sum().float()[None]])
        self.left_out[name] = self.left_out.get(name, 0) + counts

    def _reconstructed(
        self,
        image: Tensor,
        known: Mapping[str, Maps],
        said: Mapping[str, Answer],
        site: Tensor | None,
        told: Told,
    ) -> dict[str, Tensor]:
        """What projectors learn by themselves; teachers that no term has asked yet are asked now."""
        found = {**known, **{name: answer.maps for name, answer in said.items()}}

        def maps_of(teacher: str) -> Maps | None:
            if teacher not in found and teacher not in self.peers:
                found[teacher] = self._maps_of(teacher, image, site, told)
            return found.get(teacher)

        learners = [
            (name, teacher, each, self.sizes[key_of(name, number, teacher)])
            for name in self.terms
            for teacher in (SELF, *self.teachers)
            for number, each in enumerate(self._pairs(name, teacher))
            if hasattr(each.projector, "own_loss")
        ]
        return reconstruct(learners, maps_of, image.new_zeros(()))

    @torch.no_grad()
    def _maps_of(
        self, name: str, image: Tensor, site: Tensor | None = None, told: Told | None = None
    ) -> Maps:
        """What a teacher, or the student itself, says in eval mode, whatever it is in."""
        if name != SELF and self.teachers[name].recorded is not None:
            return self._answer(name, image, site, told or {})
        network = self.student if name == SELF else self.teachers[name].module
        mode = network.training
        network.eval()
        try:
            if name != SELF:
                return self.teachers[name].knowledge(image, self._asked_of(name), site)
            with catch(network, wanted_of_student(self.terms.values())) as maps:
                maps["logits"] = first_output(ask(network, self.seen(image), site))
            return maps
        finally:
            network.train(mode)

    @torch.no_grad()
    def _rehearse(self, student: Maps, known: Mapping[str, Maps]) -> None:
        """Compute every term once on the maps of the example, so that what does not fit is told before training.

        Raises:
            ValueError: as a loss says it, with the name of the term.
        """
        logits = student["logits"]
        layers = logits.shape[1] if self.regions else 1
        truth = Truth(
            logits.new_zeros(len(logits), layers, *logits.shape[2:]).long(), logits.shape[1], self.regions
        )
        for name in self.terms:
            try:
                listen(student, self._voices(name, known, {}), self.combine, truth)
            except ValueError as error:
                raise ValueError(f"terms.{name}: {error}") from error

    @torch.no_grad()
    def _look(self, example: Tensor | None) -> tuple[Maps, Mapping[str, Maps]]:
        """One map of every stage that the terms ask for, of the student and of each teacher."""
        if example is None:
            raise ValueError(
                "terms need `example`, an image batch (1, channel, *space), to learn the widths from"
            )
        student = self._maps_of(SELF, example)
        told = {name: each.silence(example) for name, each in self.teachers.items() if each.recorded}
        known = {name: self._maps_of(name, example, told=told) for name in self.teachers}
        return student, known | {SELF: student}
