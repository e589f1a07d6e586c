"""Vectors of unit length."""

from __future__ import annotations

import torch
from torch import Tensor


def unit(vectors: Tensor, dim: int) -> Tensor:
    """`vectors` of unit L2 length along `dim`; a vector of zeros stays 0, with a gradient that is no larger than 1."""
    # The length is divided out, so any scale will do; the largest value keeps the squares within the number range.
    peak = vectors.detach().abs().amax(dim, keepdim=True)
    vectors = vectors / torch.where(peak > 0, peak, 1.0)
    length = torch.linalg.vector_norm(vectors, dim=dim, keepdim=True)
    return vectors / torch.where(length > 0, length, 1.0)
