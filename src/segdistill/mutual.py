"""Mutual learning: the student and its peers are trained in one step, each a teacher of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from segdistill.compare import Pair
from segdistill.networks.stages import heads_of
from segdistill.teachers.teacher import Teacher
from segdistill.truth import Truth

Maps = Mapping[str, Tensor]


@dataclass(frozen=True)
class Answer:
    """What a peer says of the samples that it sees.

    Attributes:
        samples: numbers of these samples in the batch.
        heads: its logits, full resolution first.
        maps: the stages asked for, with gradient.
    """

    samples: Tensor
    heads: list[Tensor]
    maps: dict[str, Tensor]


def answers(
    peers: Mapping[str, Teacher], image: Tensor, site: Tensor | None, stages: Callable[[str], tuple[str, ...]]
) -> dict[str, Answer]:
    """Let every peer see its samples; one that has none in this batch says nothing.

    Args:
        site: (batch,) numbers of the sites of the images.
        stages: what the terms ask of a peer.

    Raises:
        ValueError: a peer of one site, and no sites of the images.
    """
    found = {}
    for name, teacher in peers.items():
        assert teacher.peer is not None
        samples = torch.arange(len(image), device=image.device)
        if teacher.peer.site is not None:
            if site is None:
                raise ValueError(f"teachers.{name}.peer.site: the images have no sites; set data.sites")
            samples = samples[site == teacher.peer.site]
        if len(samples):
            maps, output = teacher.ask(image[samples], stages(name), None if site is None else site[samples])
            heads = heads_of(output)
            found[name] = Answer(samples, heads, maps | {"logits": heads[0]})
    return found


def learn(
    peers: Mapping[str, Teacher],
    said: Mapping[str, Answer],
    student: Maps,
    truth: Truth,
    weights: Mapping[str, float],
    pairs: Callable[[str, str], list[Pair]],
    supervised: Callable[[list[Tensor], Truth], Tensor],
) -> dict[str, Tensor]:
    """What the peers learn: from the label (`peer NAME`), from the student and from each other (`TERM of NAME`).

    As in deep mutual learning each of K learns from the K - 1 others, on average: peers from the student and from each
    other's logits (other stages need not fit). A peer that is not detached is moved by the student's own
    term already.

    Args:
        pairs: the pairs of a term with a teacher.
        supervised: the weighted supervised loss of heads.
    """
    losses = {}
    nothing = student["logits"].new_zeros(())
    for name, teacher in peers.items():
        assert teacher.peer is not None
        answer = said.get(name)
        # By its share of the batch, so that devices and parts of a batch that see other sites add up to the same.
        share = 0.0 if answer is None else len(answer.samples) / len(student["logits"])
        losses[f"peer {name}"] = nothing
        if answer is not None:
            losses[f"peer {name}"] = share * supervised(answer.heads, truth.of(answer.samples))
        if not teacher.peer.detach:
            continue
        for term, weight in weights.items():
            # A projector that encodes the peer's map apart has no gradient for it.
            found = [pair for pair in pairs(term, name) if not hasattr(pair.projector, "own_loss")]
            if not found:
                continue
            total = nothing
            if answer is not None:
                part, own = truth.of(answer.samples), {key: m.detach() for key, m in student.items()}
                own = {key: each[answer.samples] for key, each in own.items()}
                others = [
                    said[other] for other, peer in peers.items()
                    if other != name and other in said and pairs(term, other)
                    and peer.peer is not None and peer.peer.site is None
                ]  # fmt: skip
                for pair in found:
                    from_student = pair.loss(own, answer.maps, part, mirrored=True)
                    from_peers = _from_peers(answer, others, pair, part)
                    total = total + torch.stack([from_student, *from_peers]).mean()
            losses[f"{term} of {name}"] = weight * share * total
    return losses


def _from_peers(own: Answer, others: list[Answer], pair: Pair, truth: Truth) -> list[Tensor]:
    """What a peer learns from each of the others that see all images; nothing where the pair is not of logits."""
    if not pair.response or pair.labels is not None or pair.projector is not None:
        return []
    of_peers = replace(pair, own=pair.other)
    maps = [{key: each.detach()[own.samples] for key, each in other.maps.items()} for other in others]
    return [of_peers.loss(teacher, own.maps, truth, mirrored=True) for teacher in maps]
