"""A row of the table of distillation losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["response", "feature", "relation", "boundary"]


@dataclass(frozen=True)
class Row:
    """A distillation loss and what holds of it; a flag that is off gives its reason in the loss's docstring.

    Attributes:
        part: the class; an instance is called as `loss(student, teacher, where=None)`, or with `label=` between them
            where the class says `needs_label`.
        formula: in the symbols of `docs/reference/losses.md`: s student, t teacher, p and q their probabilities.
        memory: what it holds beside the two maps, in elements: N voxels, C channels, K classes, B samples.
        zero_at_equal: 0 where student and teacher say the same.
        batch_invariant: repeating the samples of a batch changes nothing.
        patch_invariant: tiling the space changes nothing, so a weight means the same at every patch size.
        differentiable_at_equal: the gradient at student = teacher is 0, not undefined.
    """

    part: type
    kind: Kind
    reference: str
    summary: str
    formula: str
    memory: str = "O(N C)"
    zero_at_equal: bool = True
    batch_invariant: bool = True
    patch_invariant: bool = True
    differentiable_at_equal: bool = True
