"""Several p-values at once: what each is worth when it was looked at beside the others."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction (Holm, 1979, Scandinavian Journal of Statistics 6).

    Of m p-values in rising order, the k-th (from 0) is multiplied by m - k, is never below the one before it, and never
    above 1. To call those of at most 0.05 differences keeps the chance of even one false alarm in the family at or
    below 5 %, whatever the tests have to do with each other.

    Args:
        p_values: each in [0, 1], in any order; None where there was no test, which stays None and does not count.

    Returns:
        The adjusted p-values, in the order given.

    Raises:
        ValueError: a number that is no p-value.
    """
    known = [(p, place) for place, p in enumerate(p_values) if p is not None]
    if not all(0 <= p <= 1 for p, _ in known):
        raise ValueError(f"p-values lie in [0, 1]; got {[p for p, _ in known]}")
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for k, (p, place) in enumerate(sorted(known)):
        highest = max(highest, min(1.0, (len(known) - k) * p))
        adjusted[place] = highest
    return adjusted
