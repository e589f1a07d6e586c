"""Whether the affine that a transform reports is true: found out with images whose values are their places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import LazyTransform, Randomizable

from segdistill.errors import SegdistillError
from segdistill.teachers.monai_bundle.places import told_affine

TOLERANCE = 0.51  # voxels of the image before the step: nearest-neighbour interpolation is half a voxel off


def check_steps(steps: Sequence[Any], given: Any, key: str | None, place: str) -> None:
    """Go through a case step by step; what changes its shape or affine must do to places what its affine says.

    Such a step is repeated, for each axis, on an image whose values are the index along it. A step of the bundle's own
    that turns an image around and changes neither shape nor affine cannot be noticed.

    Args:
        given: the image as the steps expect it; it is used up.
        key: of the image where they take a dictionary.

    Raises:
        SegdistillError: a step fails, is random, needs what a case does not have (a label), returns no affine, or
            one that is more than half a voxel off; the step is named.
    """
    told = given
    for number, step in enumerate(steps):
        here = f"{place}: step {number + 1} after loading, {type(step).__name__},"
        if isinstance(step, Randomizable):
            raise SegdistillError(
                f"{here} is random, a teacher's answer must not be; name the preprocessing of inference"
            )
        before = _image(told, key, here)
        after_told = _run(step, told, key, here)
        after = _image(after_told, key, here)
        if after.ndim != before.ndim:
            raise SegdistillError(
                f"{here} made {tuple(after.shape)} of {tuple(before.shape)}; the image must keep its axes"
            )
        if before.shape[1:] != after.shape[1:] or not np.array_equal(told_affine(before), told_affine(after)):
            _check(step, told, before, key, here)
        told = after_told


def _check(step: Any, told: Any, before: MetaTensor, key: str | None, here: str) -> None:
    """Raise unless the step does to places what its affine says."""
    space = before.ndim - 1
    for axis in range(space):
        lengths = [n if a == axis else 1 for a, n in enumerate(before.shape[1:])]
        ramp = torch.arange(before.shape[1 + axis], dtype=torch.float32).reshape(1, *lengths)
        probe = MetaTensor(
            ramp.expand(before.shape).clone(),
            meta=dict(before.meta) | {"affine": before.affine.clone()},
        )
        result = _image(
            _run(step, probe if key is None else {**told, key: probe}, key, here, "a probe"), key, here
        )
        moved = np.linalg.inv(told_affine(before)) @ told_affine(result)
        some = [np.arange(0, n, 1 + n // 64) for n in result.shape[1:]]  # of a large image not every voxel
        voxels = np.stack(np.meshgrid(*some, indexing="ij"), axis=-1)
        places = voxels @ moved[:space, :space].T + moved[:space, space]
        last = np.array(before.shape[1:]) - 1
        margin = np.minimum(1 + np.abs(moved[:space, :space]).sum(axis=1), last / 4)  # borders blur
        inside = ((places >= margin) & (places <= last - margin)).all(axis=-1)
        if not inside.any():
            continue  # nothing of the image is left to compare
        told_places = result.as_tensor()[0].cpu().numpy()[np.ix_(*some)]
        wrong = float(np.abs(told_places - places[..., axis])[inside].max())
        if not wrong <= TOLERANCE:
            raise SegdistillError(
                f"{here} moves or changes voxels by more than the affine that it reports (up to {wrong:.3g} voxels "
                f"along axis {axis + 1}), so that where the answer lies is not known. Use transforms that keep "
                "the affine (Spacingd, Orientationd, crops and pads of MONAI), and change intensities in a step of "
                "their own"
            )


def _run(step: Any, told: Any, key: str | None, here: str, on: str = "the image") -> Any:
    given = dict(told) if isinstance(told, dict) else told
    missing = [] if key is None else [k for k in getattr(step, "keys", ()) if k not in given]
    if missing and not getattr(step, "allow_missing_keys", False):
        raise SegdistillError(
            f"{here} needs {', '.join(map(repr, missing))}, and a case has only its image, {key!r}; name the "
            "preprocessing of inference, or one without labels"
        )
    try:
        eager = {"lazy": False} if isinstance(step, LazyTransform) else {}
        return step(given, **eager)
    except KeyError as error:
        raise SegdistillError(
            f"{here} needs {error}, which a case does not have: only its image; name the preprocessing of inference"
        ) from error
    except Exception as error:  # a transform of the bundle's may raise anything
        raise SegdistillError(f"{here} failed on {on}: {error}") from error


def _image(told: Any, key: str | None, here: str) -> MetaTensor:
    image = told.get(key) if key is not None and isinstance(told, dict) else told
    if not isinstance(image, MetaTensor):
        raise SegdistillError(
            f"{here} returned {type(image).__name__} for the image; a MetaTensor is needed, which knows where it lies"
        )
    return image
