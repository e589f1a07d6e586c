"""Which images of cases a report shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shown:
    """Where the images are still there, the best, the median and the worst case are shown, unless otherwise said.

    Attributes:
        images: False for images that may not be passed on: then none is shown.
        cases: names of others instead.
        grad_cam: also show where teacher, student alone and distilled student look: their networks are run.
    """

    images: bool = True
    cases: tuple[str, ...] = ()
    grad_cam: bool = False
