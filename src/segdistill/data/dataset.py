"""A set of images with labels, whatever the layout of its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from segdistill.errors import SegdistillError


@dataclass(frozen=True)
class Case:
    """One image with its label.

    images: a file a channel, or one file with all channels.
    subset: train, validation or test where the folders say so, else None.
    """

    id: str
    images: tuple[Path, ...]
    label: Path | None
    subset: str | None = None


@dataclass(frozen=True)
class Dataset:
    """What a folder of images says about itself.

    labels: name -> value in the files, or values (a region, the union of them); without background and
    ignore, in class order.
    regions: classes overlap, so that each is a sigmoid channel of its own.
    background: value in the files, or values: all are read as background, the first is written.
    regions_class_order: the file value painted for each region, in the order of painting (nnU-Net's).
    spatial_dims: 2 for photographs, 3 for volumes.
    """

    name: str
    path: Path
    layout: str
    channels: tuple[str, ...]
    labels: dict[str, int | tuple[int, ...]]
    ignore: int | None
    regions: bool
    cases: tuple[Case, ...]
    spatial_dims: int
    background: int | tuple[int, ...] = 0
    regions_class_order: tuple[int, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the foreground classes or regions."""
        return tuple(self.labels)

    @property
    def out_channels(self) -> int:
        """Channels a network needs: classes and background for exclusive labels, regions alone otherwise."""
        return len(self.labels) + (0 if self.regions else 1)

    @property
    def values(self) -> tuple[int, ...]:
        """All values a label file may hold, ignore included."""
        declared = {value for members in (self._background, *self._members()) for value in members}
        return tuple(sorted(declared | ({self.ignore} if self.ignore is not None else set())))

    def encode(self, label: np.ndarray) -> np.ndarray:
        """File values (*space) -> (L, *space) int16.

        Exclusive labels: L = 1 with class indices, 0 the background. Regions: L = R with 0 and 1. Ignore is
        -1 in both.

        Raises:
            SegdistillError: the label holds a value that the dataset does not declare.
        """
        found = values_in(label)
        undeclared = np.setdiff1d(found, self.values)
        if len(undeclared):
            shown = ", ".join(str(value) for value in undeclared[:8]) + (
                ", ..." if len(undeclared) > 8 else ""
            )
            declared = ", ".join(str(value) for value in self.values)
            raise SegdistillError(
                f"label values {shown} are not declared; declared are {declared} "
                f"({', '.join(self.classes)}): mend the label file or the labels of dataset.json"
            )
        codes = np.zeros((len(self.labels) if self.regions else 1, len(found)), dtype=np.int16)
        for index, members in enumerate(self._members()):
            inside = np.isin(found, members)
            if self.regions:
                codes[index, inside] = 1
            else:
                codes[0, inside] = index + 1
        if self.ignore is not None:
            codes[:, np.equal(found, self.ignore)] = -1
        if found[0] < 0 or found[-1] >= 2**16:
            return np.asarray(codes[:, np.searchsorted(found, label)])
        table = np.zeros((len(codes), found[-1] + 1), dtype=np.int16)
        table[:, found] = codes
        return np.take(table, label, axis=1)

    def decode(self, classes: np.ndarray) -> np.ndarray:
        """(L, *space) as `encode` gives it -> (*space) int32 file values.

        Regions are painted one over the other in `regions_class_order`. -1 becomes the ignore value, or
        background where there is none.
        """
        hidden = self._background[0] if self.ignore is None else self.ignore
        if not self.regions:
            table = np.array(
                [self._background[0], *(members[0] for members in self._members()), hidden], dtype=np.int32
            )
            return np.asarray(table[classes[0]])  # -1 is the last of the table
        result = np.full(classes.shape[1:], self._background[0], dtype=np.int32)
        for region, value in zip(classes, self.regions_class_order, strict=True):
            result[region == 1] = value
        result[(classes == -1).any(axis=0)] = hidden
        return result

    def select(self, labels: Mapping[str, int | Sequence[int]]) -> Dataset:
        """The same images with other classes: tumour alone, or organ and tumour as one.

        Classes are exclusive, in the order given; every declared value that is not named is background.

        Args:
            labels: name -> value in the files, or values that count as one; masks hold the first of them.

        Raises:
            SegdistillError: no class, a value that is not declared (or is ignore), or one in two classes.
        """
        chosen = {name: _members(value) for name, value in labels.items()}
        named = [value for members in chosen.values() for value in members]
        choices = sorted({value for members in self._members() for value in members})
        if (
            not chosen
            or not all(chosen.values())
            or len(set(named)) < len(named)
            or set(named) - set(choices)
        ):
            known = ", ".join(f"{name}: {value}" for name, value in self.labels.items())
            raise SegdistillError(
                f"data.labels: {dict(labels)} should give each class one or more of the values "
                f"{', '.join(map(str, choices))}, none of them twice; {self.path} has {known}"
            )
        rest = tuple(value for value in choices if value not in named)
        return replace(
            self,
            labels={name: members[0] if len(members) == 1 else members for name, members in chosen.items()},
            background=(*self._background, *rest) if rest else self.background,
            regions=False,
            regions_class_order=(),
        )

    def case(self, id: str) -> Case:
        """The case of that id."""
        for case in self.cases:
            if case.id == id:
                return case
        raise SegdistillError(
            f"{self.path} has no case {id!r}; it has {len(self.cases)}, such as {self.cases[0].id}"
        )

    @property
    def _background(self) -> tuple[int, ...]:
        return _members(self.background)

    def _members(self) -> list[tuple[int, ...]]:
        return [_members(value) for value in self.labels.values()]


def _members(value: int | Sequence[int]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


def values_in(label: np.ndarray) -> np.ndarray:
    """Sorted distinct values of a whole-number array; counting instead of sorting where they are small."""
    if label.size and label.min() >= 0 and label.max() < 2**16:
        return np.flatnonzero(np.bincount(label.ravel()))
    return np.unique(label)
