"""How well a decoder gives back what was encoded."""

from __future__ import annotations

import torch
from torch import Tensor


def relative_error(found: Tensor, target: Tensor) -> Tensor:
    """Mean square of found - target over the variance of all elements of target: the share that is not explained.

    1 for the best constant; it does not change with the target's scale. The variance is taken for a thousandth of
    the mean square at least, so that a nearly constant target gives no huge gradient; 1 for a target of zeros.
    """
    variance = torch.maximum(target.var(correction=0), 1e-3 * target.square().mean()).detach()
    return (found - target).square().mean() / torch.where(variance > 0, variance, 1.0)
