"""Models of one size: where there are many, a figure of size names the best, the worst and the student alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segdistill.report.evidence import Evidence, Model

MOST = 3  # models of one size that all have their names
ALIKE = 1.02  # of two sizes that count as one, how often the smaller goes into the larger, at most


@dataclass(frozen=True)
class Crowd:
    """Students of one size, and those of them that are named."""

    models: tuple[Model, ...]
    named: tuple[Model, ...]


def crowds(models: Sequence[Model], sizes: Sequence[float], evidence: Evidence) -> list[Crowd]:
    """Students that are of one size together with more than `MOST` models, size by size."""
    order = sorted(range(len(models)), key=lambda k: sizes[k])
    groups: list[list[int]] = []
    for k in order:
        if groups and sizes[k] <= ALIKE * sizes[groups[-1][0]]:
            groups[-1].append(k)
        else:
            groups.append([k])
    found = []
    for group in groups:
        students = tuple(models[k] for k in sorted(group) if models[k].role != "teacher")
        if len(group) > MOST and students:
            distilled = [m for m in students if m.role == "distilled"] or list(students)
            ends = {id(pick(distilled, key=evidence.dice)) for pick in (max, min)}
            named = tuple(m for m in students if m.role == "alone" or id(m) in ends)
            found.append(Crowd(students, named))
    return found
