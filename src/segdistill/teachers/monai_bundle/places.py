"""Images as MONAI's loading hands them on, and the affines that they carry."""

from __future__ import annotations

import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

from segdistill.teachers.source import CaseImage

SWAP = np.eye(3)[[1, 0, 2]]  # rows and columns of a photograph


def as_loaded(image: Tensor, affine: np.ndarray, name: str) -> MetaTensor:
    """An image (C, *space) with the metadata that MONAI's loading gives it; `affine` as `affine_of` gives it."""
    matrix = torch.from_numpy(affine.copy())
    meta = {
        "affine": matrix,
        "filename_or_obj": name,
        "original_affine": matrix.clone(),
        "spatial_shape": np.array(image.shape[1:]),
        "space": "RAS",
        "original_channel_dim": 0,
    }
    return MetaTensor(image, meta=meta)


def affine_of(case: CaseImage) -> np.ndarray:
    """(d + 1, d + 1): index of a voxel of the file -> millimetres; of a photograph in its own plane."""
    affine = np.asarray(case.geometry.affine, dtype=np.float64)
    if case.image.ndim == 4:
        return affine.copy()
    plane = affine[np.ix_([0, 1, 3], [0, 1, 3])]
    lies_in_plane = np.allclose(np.linalg.norm(plane[:2, :2], axis=0), case.geometry.spacing)
    return plane if lies_in_plane else np.diag([*case.geometry.spacing, 1.0])


def told_affine(image: MetaTensor) -> np.ndarray:
    """(d + 1, d + 1): the affine that an image (C, *space) carries."""
    affine = np.asarray(image.affine.cpu(), dtype=np.float64)
    keep = [*range(image.ndim - 1), len(affine) - 1]
    return affine[np.ix_(keep, keep)]
