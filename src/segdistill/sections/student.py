"""What a student may cost."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from segdistill.quantity import Quantity
from segdistill.sections.section import Section


class BudgetSection(Section):
    """What a student may cost; of the widths of its network the largest is taken that costs no more."""

    parameters: Quantity | None = None
    macs: Quantity | None = None
    """True multiply-adds for one patch."""
    latency_ms: Quantity | None = None
    """Median time of one patch on this machine, in PyTorch and on the threads that it has."""
    widest: Annotated[float, Field(ge=1 / 64, le=64)] = 8
    """How many times the network's own width it may become."""

    @model_validator(mode="after")
    def _says_something(self) -> BudgetSection:
        if self.parameters is None and self.macs is None and self.latency_ms is None:
            raise ValueError("say at least one of parameters, macs and latency_ms")
        return self
