"""How a term listens: the losses of all its pairs, over several teachers that are combined."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segdistill.align import resize
from segdistill.compare import Pair, two_classes
from segdistill.term import map_of
from segdistill.truth import Truth

Maps = Mapping[str, Tensor]
Combine = Callable[[Mapping[str, Tensor], Mapping[str, float]], Mapping[str, float | Tensor]]


@dataclass(frozen=True)
class Voice:
    """What one teacher says to a term.

    Attributes:
        name: of the teacher.
        pairs: the term's pairs with it, at least one.
        maps: the stages asked for, and `logits`.
        weight: a_t.
        score: its validation Dice; None where it is not known.
        samples: numbers of the samples that it saw; None: all.
    """

    name: str
    pairs: Sequence[Pair]
    maps: Maps
    weight: float = 1.0
    score: float | None = None
    samples: Tensor | None = None


def listen(student: Maps, voices: Sequence[Voice], combine: Combine, truth: Truth) -> Tensor:
    """sum_t a_t share_t sum_pairs loss(student[s], teacher_t[q]).

    The combination shares out among the teachers that saw all samples. One that saw some of them (a peer of one site)
    counts by its weight and their share of the batch.

    Raises:
        ValueError: a combination that mixes maps which differ.
    """
    total = student["logits"].new_zeros(())
    everywhere = [voice for voice in voices if voice.samples is None]
    shares = shared_out(everywhere, combine)
    if getattr(combine, "mixes", False) and len(everywhere) > 1:
        total = total + _mixture(student, everywhere, shares, truth)
    else:
        for number in range(len(everywhere[0].pairs) if everywhere else 0):
            total = total + _sum(student, everywhere, number, shares, truth)
    for voice in voices:
        if voice.samples is not None:
            own = {name: each[voice.samples] for name, each in student.items()}
            part, share = truth.of(voice.samples), len(voice.samples) / len(student["logits"])
            for pair in voice.pairs:
                total = total + voice.weight * share * pair.loss(own, voice.maps, part)
    return total


def _sum(
    student: Maps, voices: Sequence[Voice], number: int, shares: Mapping[str, float | Tensor], truth: Truth
) -> Tensor:
    """sum_t a_t share_t loss(student[s], teacher_t[q]) of one of the term's pairs.

    A loss that can compare with several teachers at once does so where nothing but the loss looks at the maps: the same
    sum, and the student's map is read once.
    """
    pairs, counted = [voice.pairs[number] for voice in voices], [shares[voice.name] for voice in voices]
    together = getattr(pairs[0].term.loss, "of_several", None)
    if together is None or not _plain(pairs) or any(isinstance(share, Tensor) for share in counted):
        total = student["logits"].new_zeros(())
        for voice, pair, share in zip(voices, pairs, counted, strict=True):
            total = total + voice.weight * pair.loss(student, voice.maps, truth, share)
        return total
    own = map_of(student, pairs[0].own)
    size, half = own.shape[2:], getattr(pairs[0].term.loss, "half_teacher", False)
    theirs = [resize(pair.of_teacher(voice.maps), size) for pair, voice in zip(pairs, voices, strict=True)]
    weights = [voice.weight * float(share) for voice, share in zip(voices, counted, strict=True)]
    with torch.autocast(own.device.type, enabled=False):
        found: Tensor = together(
            own.float(), theirs if half else [each.float() for each in theirs], weights, truth.where(size)
        )
    return found


def _plain(pairs: Sequence[Pair]) -> bool:
    """Whether the maps are compared as they are, but for the size of the teachers'."""
    term = pairs[0].term
    as_they_are = all(pair.projector is None and pair.labels is None for pair in pairs)
    return as_they_are and not pairs[0].regions and term.where is None and term.resize == "teacher"


def shared_out(voices: Sequence[Voice], combine: Combine) -> Mapping[str, float | Tensor]:
    """What each teacher counts; by voxel the combination sees probabilities (batch, problem, class, *space)."""
    answers: dict[str, Tensor] = {}
    for voice in voices:
        pair, logits = voice.pairs[0], voice.maps["logits"].detach().float()
        if getattr(combine, "by_voxel", False):
            logits = logits if pair.labels is None else pair.labels.of_teacher(logits)
            problems = two_classes(logits).unflatten(0, logits.shape[:2]) if pair.regions else logits[:, None]
            logits = problems.softmax(2)
        answers[voice.name] = logits
    return combine(answers, {voice.name: voice.score or 0.0 for voice in voices})


def _mixture(student: Maps, voices: Sequence[Voice], shares: Mapping[str, Any], truth: Truth) -> Tensor:
    """sum_pairs loss(student[s], sum_t share_t teacher_t[q]): one comparison with all teachers' maps mixed."""
    weights = [voice.weight * shares[voice.name] for voice in voices]
    total = student["logits"].new_zeros(())
    for number, first in enumerate(voices[0].pairs):
        maps = [voice.pairs[number].together(student, voice.maps) for voice in voices]
        if any(_learns(voice.pairs[number].projector) for voice in voices):
            raise ValueError(
                "combine mixes the teachers' maps and compares once, so there cannot be a learned projector for each; "
                "use the projector interpolation"
            )
        shapes = {tuple(t.shape[1:]) for _, t in maps}
        if len(shapes) > 1 or any(voice.pairs[number].labels is not None for voice in voices):
            raise ValueError(
                f"combine mixes the teachers' maps, but they differ ({', '.join(map(str, sorted(shapes)))}); bring "
                "them to the student's width by the projector interpolation, or choose another combination"
            )
        mixed = _mean([t for _, t in maps], weights)
        logits = _mean([voice.maps["logits"] for voice in voices], weights)  # for weights of the voxels
        total = total + first.of(maps[0][0], mixed, student, {**voices[0].maps, "logits": logits}, truth)
    return total


def _mean(maps: Sequence[Tensor], weights: Sequence[Any]) -> Tensor:
    return torch.stack([w * each.float() for w, each in zip(weights, maps, strict=True)]).sum(0) / sum(
        weights
    )


def _learns(projector: nn.Module | None) -> bool:
    return projector is not None and any(p.requires_grad for p in projector.parameters())
