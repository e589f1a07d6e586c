"""A bundle's own transforms on a case, and where the voxels of their result lie in the case's file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

from segdistill.errors import SegdistillError
from segdistill.teachers.monai_bundle.belief import check_steps
from segdistill.teachers.monai_bundle.loading import Loaded
from segdistill.teachers.monai_bundle.places import SWAP, affine_of, as_loaded, told_affine
from segdistill.teachers.source import CaseImage


@dataclass(frozen=True)
class Preprocessing:
    """A bundle's transforms without those that read files.

    Attributes:
        loaded: the transforms, and what they expect.
        bundle: its folder, for messages.
    """

    loaded: Loaded
    bundle: str
    _checked: set[int] = field(default_factory=set)

    def __call__(self, case: CaseImage) -> tuple[Tensor, np.ndarray]:
        """The image that the network sees, and where it lies.

        The first case is gone through step by step, to see whether the affine that each transform reports is true
        (`check_steps`).

        Returns:
            (C, *space) float32, and (d + 1, d + 1): index of a voxel of it -> place in the array of the file.

        Raises:
            SegdistillError: a transform fails, or the place of its result cannot be believed.
        """
        space = case.image.ndim - 1
        swap = self.loaded.swapped and space == 2
        image = np.ascontiguousarray(case.image.swapaxes(1, 2) if swap else case.image, dtype=np.float32)
        affine = SWAP @ affine_of(case) @ SWAP if swap else affine_of(case)
        transforms, key, here = self.loaded.transforms, self.loaded.key, f"{self.bundle}, case {case.id}"

        def given() -> Any:
            tensor = as_loaded(torch.from_numpy(image.copy()), affine, case.id)
            return tensor if key is None else {key: tensor}

        if space not in self._checked:
            check_steps(transforms.transforms, given(), key, here)
            self._checked.add(space)
        try:
            told = transforms(given())
        except Exception as error:  # a transform of the bundle's may raise anything
            raise SegdistillError(f"{here}: preprocessing failed: {error.__cause__ or error}") from error
        result = told if key is None else told[key]
        if not isinstance(result, MetaTensor) or result.ndim != space + 1 or 0 in result.shape:
            raise SegdistillError(
                f"{here}: preprocessing made {_form(result)} of an image of {image.shape}; expected a MetaTensor of "
                f"channels and {space} axes"
            )
        to_original = np.linalg.inv(affine) @ told_affine(result)
        return result.as_tensor().float().cpu(), SWAP @ to_original if swap else to_original


def _form(result: Any) -> str:
    return f"{type(result).__name__} {tuple(result.shape) if hasattr(result, 'shape') else ''}".strip()
