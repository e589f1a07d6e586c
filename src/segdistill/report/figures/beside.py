"""The few models that a figure of lines can hold: the student, the same alone, its best teacher."""

from __future__ import annotations

from collections.abc import Callable

from segdistill.report.evidence import Evidence, Model

LOOKS = {"distilled": "-", "alone": "--", "teacher": ":"}


def beside(evidence: Evidence, has: Callable[[Model], bool]) -> list[Model]:
    """Those of which there is something to show: of the first student and its comparison, else of the best models."""
    head = evidence.headline
    if head is not None:
        teacher = next((t for t in head.teachers if t.evaluated), None)
        found = [m for m in (head.student, head.alone, teacher) if m is not None and m.evaluated and has(m)]
        if found:
            return found
    return sorted((m for m in evidence.models if m.evaluated and has(m)), key=evidence.dice, reverse=True)[:3]


def called(model: Model) -> str:
    """A model's name in a legend."""
    return f"{model.short} alone" if model.role == "alone" else model.short
