"""What models are called in a figure: of names that begin alike, only what tells them apart."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from segdistill.report.evidence import Model
from segdistill.report.figures.beside import called


@dataclass(frozen=True)
class Names:
    """`common` are the leading words of all distilled students of a figure, which it says once; often none."""

    common: str = ""

    def of(self, model: Model) -> str:
        """A model's name beside the others: T1, S1 alone, and of "S1 kd (warm)" and "S1 kd (cold)" warm and cold."""
        if model.role != "distilled" or not self.common:
            return called(model)
        rest = model.short[len(self.common) :].strip()
        return rest[1:-1] if rest.startswith("(") and rest.endswith(")") else rest

    @property
    def said(self) -> str:
        """A sentence for the caption, after a space."""
        return (
            f" The names of all distilled students begin with \u201c{self.common}\u201d, left out here."
            if self.common
            else ""
        )


def names_of(models: Iterable[Model]) -> Names:
    """The names of these models; leading words are left out where two distilled students or more share them."""
    names = list(dict.fromkeys(m.short for m in models if m.role == "distilled"))
    if len(names) < 2:
        return Names()
    words = [re.findall(r"\(.*\)$|\S+", name) for name in names]  # what is in parentheses stays whole
    alike = 0
    for level in zip(*words, strict=False):
        if len(set(level)) > 1 or alike + 1 == min(map(len, words)):
            break
        alike += 1
    return Names(" ".join(words[0][:alike]))
