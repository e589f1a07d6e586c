"""Probabilities as the logits that stand for them."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

CLIP = 1e-6
"""Probabilities are moved into [CLIP, 1 - CLIP] before the logarithm: a 0 has no logit."""

Values = TypeVar("Values", Tensor, np.ndarray)


def logits_of_classes(probabilities: Values) -> Values:
    """log p, whose softmax is p, up to the clip.

    Args:
        probabilities: of exclusive classes, in [0, 1], summing to 1 over the classes.
    """
    if isinstance(probabilities, Tensor):
        return torch.log(probabilities.clamp(CLIP, 1))
    return np.log(np.clip(probabilities, CLIP, 1))


def logits_of_regions(probabilities: Values) -> Values:
    """log(p / (1 - p)), whose sigmoid is p, up to the clip.

    Args:
        probabilities: of overlapping regions, each in [0, 1].
    """
    if isinstance(probabilities, Tensor):
        return torch.logit(probabilities, CLIP)
    inside = np.clip(probabilities, CLIP, 1 - CLIP)
    return np.log(inside / (1 - inside))
