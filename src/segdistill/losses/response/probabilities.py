"""Probabilities of classes, as logarithms."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from segdistill.losses.reduction import at_least_float32


def log_probabilities(
    logits: Float[Tensor, "batch class *space"], temperature: float = 1.0
) -> Float[Tensor, "batch class *space"]:
    """log softmax(logits / T) over classes."""
    logits = at_least_float32(logits)
    return F.log_softmax(logits if temperature == 1 else logits / temperature, dim=1)
