"""Something noteworthy about a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One line of what `segdistill data check` reports; case and file are None for the whole set."""

    severity: Literal["error", "warning", "note"]
    case: str | None
    file: Path | None
    message: str
