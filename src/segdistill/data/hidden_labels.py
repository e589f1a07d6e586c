"""A store in which the labels of some cases are hidden: to learn from their images as if nobody had labelled them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from segdistill.data.places import CaseArrays, Cases


@dataclass(frozen=True)
class ImageOnly:
    """A case of which only the image is known."""

    image: np.ndarray
    label: None = None

    @property
    def foreground(self) -> np.ndarray:
        """No known voxel."""
        return np.empty((0, self.image.ndim), np.int64)


class HiddenLabels:
    """Cases of a store, those of `names` without label and foreground."""

    def __init__(self, store: Cases, names: Iterable[str]) -> None:
        self._store, self._names = store, frozenset(names)

    def case(self, id: str, /) -> CaseArrays:
        """A case by name."""
        case = self._store.case(id)
        return ImageOnly(case.image) if id in self._names else case
