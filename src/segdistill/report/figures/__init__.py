"""The figures of the report, each in a file of its own."""

from __future__ import annotations

from segdistill.report.figures.style import Figure, Missing

__all__ = ["Figure", "Missing"]
