"""Which images a network takes, said before a layer deep inside fails."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod

import torch
from torch import Tensor

Multiple = int | tuple[int, ...]
"""Of which number the sides of an image are multiples: one for all axes, or one for each."""


def check_image(
    image: Tensor,
    name: str,
    *,
    in_channels: int,
    spatial_dims: int,
    divisible_by: Multiple,
    fixed: Sequence[int] | None = None,
) -> None:
    """Raise a ValueError that names what fits unless `image` is (batch, in_channels, *a fitting size).

    Fitting: each axis divisible by `divisible_by`, more than one voxel left after that reduction (an instance
    norm of a single voxel is undefined), and equal to `fixed` where the network was built for one size.
    """
    if torch.jit.is_tracing():
        return
    if image.ndim != spatial_dims + 2 or image.shape[1] != in_channels:
        axes = "rows, columns" if spatial_dims == 2 else "x, y, z"
        raise ValueError(
            f"{name} takes images of shape (batch, {in_channels} channels, {axes}); got {tuple(image.shape)}"
        )
    size = tuple(image.shape[2:])
    if fixed is not None and size != tuple(fixed):
        steps = along_axes(divisible_by, spatial_dims)
        fits = all(n % step == 0 for n, step in zip(size, steps, strict=True)) and _fits(size, steps)
        other = f", or build the network with image_size={list(size)}" if fits else ""
        raise ValueError(
            f"{name} was built for images of {by(fixed)} (its learned positions are for that size); got {by(size)}. "
            f"Cut or pad to {by(fixed)}{other}"
        )
    check_size(size, name, divisible_by, spatial_dims)


def check_size(size: Sequence[int], name: str, divisible_by: Multiple, spatial_dims: int) -> None:
    """Raise a ValueError naming sizes that fit unless every axis is a multiple and two voxels remain."""
    if len(size) != spatial_dims:
        raise ValueError(f"{name} is built for {spatial_dims} spatial dimensions; got the size {by(size)}")
    steps = along_axes(divisible_by, spatial_dims)
    uneven = any(length % step or length < 1 for length, step in zip(size, steps, strict=True))
    if not uneven and _fits(size, steps):
        return
    down = tuple(max(1, length // step) * step for length, step in zip(size, steps, strict=True))
    up = tuple(max(1, ceil(length / step)) * step for length, step in zip(size, steps, strict=True))
    nearest = [by(fit) for fit in dict.fromkeys((down, up)) if _fits(fit, steps)]
    every = "along every axis" if len(set(steps)) == 1 else "along the axes"
    raise ValueError(
        f"{name} takes sizes divisible by {by(steps) if len(set(steps)) > 1 else steps[0]} {every}, with more than one "
        f"voxel left after that reduction; got {by(size)}; nearest: {' or '.join(nearest) or by((2 * up[0], *up[1:]))}"
    )


def along_axes(multiple: Multiple, spatial_dims: int) -> tuple[int, ...]:
    """One number for each axis."""
    return (multiple,) * spatial_dims if isinstance(multiple, int) else tuple(multiple)


def _fits(size: Sequence[int], steps: Sequence[int]) -> bool:
    return prod(length // step for length, step in zip(size, steps, strict=True)) > 1


def by(size: Sequence[int]) -> str:
    """`(64, 64, 32)` as `64 x 64 x 32`."""
    return " x ".join(str(int(length)) for length in size)


def check_channels(name: str, spatial_dims: int, in_channels: int, out_channels: int) -> None:
    """Raise a ValueError unless the network can be built for these."""
    if spatial_dims not in (2, 3):
        raise ValueError(f"{name} is built for 2 or 3 spatial dimensions; got {spatial_dims}")
    for what, value in (("in_channels", in_channels), ("out_channels", out_channels)):
        if value < 1:
            raise ValueError(f"{name}: {what} must be at least 1; got {value}")
