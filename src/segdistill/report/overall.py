"""Where many students are judged, one sentence on all of them before the sentences on each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from segdistill.report.verdict import Verdict
from segdistill.report.words import listing

MANY = 4  # distilled students; fewer are told one by one


def overall(verdicts: Sequence[Verdict]) -> str | None:
    """How many students gain, lose, or neither; None where they are few enough to be told one by one."""
    if len(verdicts) < MANY:
        return None
    number = Counter(verdict.outcome for verdict in verdicts)
    either = " or to lose" if number["open"] == len(verdicts) else ""
    told = [f"{number['gain'] or 'none'} {'is' if number['gain'] <= 1 else 'are'} shown to gain{either}"]
    if number["loss"]:
        told.append(f"{number['loss']} {'is' if number['loss'] == 1 else 'are'} shown to lose")
    if number["open"] and not either:
        told.append(f"for {number['open']} neither is shown")
    if number["unknown"]:
        told.append(f"{number['unknown']} cannot be judged")
    said = f"Of {len(verdicts)} distilled students, against the same student trained alone: {listing(told)}."
    tested = [verdict.over_seeds for verdict in verdicts if verdict.over_seeds is not None]
    if tested and not all(tested):
        settled = sum(tested) or "none"
        said += f" That is over cases; a test over seeds settles {settled} of these {len(tested)}."
    return said
