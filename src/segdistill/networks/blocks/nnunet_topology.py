"""Widths, kernels, strides and depths of nnU-Net's networks, level by level, as its plans write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Annotated

from pydantic import Field

from segdistill.networks.sizes import Multiple, along_axes

Positive = Annotated[int, Field(ge=1)]
Axes = Annotated[tuple[Positive, ...], Field(min_length=2, max_length=3)]
# One entry a level from full resolution down; an entry is one number, or one for each axis.
Levels = Annotated[tuple[Positive | Axes, ...], Field(min_length=2, max_length=12)]
Counts = Annotated[tuple[Positive, ...], Field(min_length=1, max_length=12)]
Features = Annotated[tuple[Positive, ...], Field(min_length=2, max_length=12)]


def multiple_of(strides: Sequence[int | Sequence[int]]) -> Multiple:
    """Of what the sides of an image are multiples: one number, or one for each axis where they differ."""
    dims = max((len(stride) for stride in strides if isinstance(stride, Sequence)), default=1)
    each = tuple(
        prod(stride if isinstance(stride, int) else stride[axis] for stride in strides)
        for axis in range(dims)
    )
    return each if len(set(each)) > 1 else each[0]


@dataclass(frozen=True)
class Topology:
    """Each level's width, kernel and stride, the latter two with one number an axis."""

    spatial_dims: int
    features: tuple[int, ...]
    kernels: tuple[tuple[int, ...], ...]
    strides: tuple[tuple[int, ...], ...]
    bias: bool

    @classmethod
    def of(
        cls,
        name: str,
        spatial_dims: int,
        features_per_stage: Sequence[int],
        kernel_sizes: int | Sequence[int | Sequence[int]],
        strides: Sequence[int | Sequence[int]],
        bias: bool,
    ) -> Topology:
        """From a network's settings; ValueError where they do not go together."""
        levels = len(features_per_stage)
        if isinstance(kernel_sizes, int):
            kernel_sizes = [kernel_sizes] * levels
        each = []
        for what, entries in (("kernel_sizes", kernel_sizes), ("strides", strides)):
            if len(entries) != levels:
                raise ValueError(
                    f"{name}: {what} has {len(entries)} entries and features_per_stage {levels}; give one for each "
                    "level, full resolution first"
                )
            axes = [along_axes(e if isinstance(e, int) else tuple(e), spatial_dims) for e in entries]
            if wrong := [list(e) for e in axes if len(e) != spatial_dims]:
                raise ValueError(
                    f"{name}: {what} has the entry {wrong[0]}; in {spatial_dims}-D write one number for all axes or "
                    f"{spatial_dims}"
                )
            each.append(tuple(axes))
        if even := [list(kernel) for kernel in each[0] if not all(length % 2 for length in kernel)]:
            raise ValueError(f"{name}: kernel_sizes must be odd, to keep sizes; got {even[0]}")
        if max(each[1][0]) > 1:
            raise ValueError(
                f"{name}: the first of strides must be 1, so that the output has the image's size; got {strides[0]}"
            )
        return cls(spatial_dims, tuple(features_per_stage), each[0], each[1], bias)

    def counts(self, name: str, what: str, value: int | Sequence[int], length: int) -> tuple[int, ...]:
        """A number of convolutions or blocks for each of `length` levels, from one for all or one for each."""
        if isinstance(value, int):
            return (value,) * length
        if len(value) != length:
            raise ValueError(
                f"{name}: {what} has {len(value)} entries, but features_per_stage has {len(self.features)}; "
                f"give {length}, or one number for all"
            )
        return tuple(value)

    def names(self, side: str) -> list[str]:
        """A stage name for each level: its stride is the largest of the axes, as not all axes shrink alike.

        Of levels that share a stride, the last that runs on this side has the bare name.
        """
        strides = [max(axes) for axes in accumulate(self.strides, _times)]
        last = {stride: level for level, stride in enumerate(strides)}
        if side != "encoder":  # it runs upwards
            last = {stride: strides.index(stride) for stride in strides}
        return [
            f"{side}/{stride}" if last[stride] == level else f"{side}/{stride}/stage{level}"
            for level, stride in enumerate(strides)
        ]


def _times(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a * b for a, b in zip(first, second, strict=True))
