"""Per-case scores of one answer (a run's predictions, or a baseline), as metrics.json holds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Chosen = str | tuple[str, ...] | None
"""A class, some classes, or all."""


@dataclass(frozen=True)
class Scores:
    """Metric values by case and class; what is undefined (both masks empty, say) is NaN."""

    values: Mapping[str, Mapping[str, Mapping[str, float]]]  # case -> class -> metric -> value

    @staticmethod
    def from_rows(rows: Iterable[Mapping[str, Any]]) -> Scores:
        """Rows of metrics.json: one a case and class, with `case`, `class` and the metrics."""
        values: dict[str, dict[str, dict[str, float]]] = {}
        for row in rows:
            of_class = values.setdefault(str(row["case"]), {}).setdefault(str(row["class"]), {})
            for metric, value in row.items():
                if metric not in ("case", "class"):
                    of_class[metric] = float("nan") if value is None else float(value)
        return Scores(values)

    @property
    def cases(self) -> tuple[str, ...]:
        return tuple(self.values)

    def of(self, case: str, metric: str, name: Chosen = None) -> float:
        """The metric of one case: of a class, or averaged over classes (None: over all) where it is defined."""
        classes = self.values.get(case, {})
        names = classes if name is None else (name,) if isinstance(name, str) else name
        chosen = [classes.get(each, {}) for each in names]
        return mean([row.get(metric, float("nan")) for row in chosen])


def shared_cases(scores: Iterable[Scores]) -> tuple[str, ...]:
    """The cases that all of these have, in order of name."""
    lists = [set(one.cases) for one in scores]
    return tuple(sorted(set.intersection(*lists))) if lists else ()


def mean(values: Sequence[float | None]) -> float:
    """The mean of what is defined; NaN where nothing is."""
    array = np.asarray(values, dtype=float)
    array = array[~np.isnan(array)]
    return float(array.mean()) if array.size else float("nan")


def spread(values: Sequence[float | None]) -> float | None:
    """The sample standard deviation of what is defined; None for fewer than two values."""
    array = np.asarray(values, dtype=float)
    array = array[~np.isnan(array)]
    return float(array.std(ddof=1)) if array.size > 1 else None
