"""Prediction of whole images and their figures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from segdistill.sections.section import PositiveInt, Section


class EvaluateSection(Section):
    """Prediction of whole images and their figures."""

    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    mirror: bool = False
    window_batch: PositiveInt = 2
    tolerance_mm: Annotated[float, Field(gt=0)] = 2.0
    """Surface distance that NSD forgives."""
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Probability above which the likeliest foreground class is taken; without it the likeliest of all.
    Regions: 0.5."""
    slices: Literal["all", "foreground"] = "all"
    """Which slices count where volumes are read as slices: all, or those with foreground in the reference. The second
    leaves false alarms elsewhere out of the figures; it is how HLFD's code scores."""
