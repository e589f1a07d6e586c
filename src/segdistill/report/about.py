"""What a report says of the study that its runs belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from segdistill.report.cautions import Caution
from segdistill.report.words import count, listing

SHOWN = 8  # runs that are named


@dataclass(frozen=True)
class About:
    """A study in words.

    Attributes:
        name: of the study.
        summary: what it compares, in a line.
        reference: the paper and table that it follows; empty without one.
        differs: what differs from the paper; empty where nothing is known to.
        command: what makes it, or goes on with it; empty where that was not kept.
        planned: how many runs it has in all.
        lacking: runs that are not in the report, by name, and how far they are (`waiting`, `failed`).
    """

    name: str
    summary: str = ""
    reference: str = ""
    differs: str = ""
    command: str = ""
    planned: int = 0
    lacking: Mapping[str, str] = field(default_factory=dict)

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What is told below the title: a word and what it is about."""
        told = (("Study", self.name), ("Follows", self.reference), ("What differs", self.differs))
        return tuple((word, text) for word, text in told if text)

    def unfinished(self) -> Caution | None:
        """That runs are missing, and what then cannot be concluded; None where all are done."""
        if not self.lacking:
            return None
        states = sorted(set(self.lacking.values()))
        of_state = {state: [name for name, one in self.lacking.items() if one == state] for state in states}
        told = "; ".join(
            f"{len(names)} {state} ({listing(names, SHOWN)})" for state, names in of_state.items()
        )
        text = (
            f"{len(self.lacking)} of the {count(self.planned, 'run')} of this study are not in this report: {told}. "
            "Rows without them are missing or have fewer seeds than the others; put no methods in order by a part "
            "of the study. The command under How to reproduce goes on with it."
        )
        return Caution("serious", "Partial study", text)
