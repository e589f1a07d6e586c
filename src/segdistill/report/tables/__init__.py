"""The tables of the report, each in a file of its own."""

from __future__ import annotations

from segdistill.report.tables.table import ROLES, Cell, Column, Group, Row, Table

__all__ = ["ROLES", "Cell", "Column", "Group", "Row", "Table"]
