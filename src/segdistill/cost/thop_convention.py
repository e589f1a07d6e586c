"""Parameters and multiply-adds as `thop.profile` counts them, which is how the papers' tables were made.

The convention differs from true counts, and is kept here only so that published numbers can be compared with:

- convolution and transposed convolution alike: output elements x (input channels / groups) x kernel volume,
  no bias (a stride-2 transposed convolution is thus counted 4 times in 2-D and 8 times in 3-D);
- linear: input features x output elements, no bias;
- instance, batch and layer norm *modules*: 2 x input elements, 4 x with learned scale;
- softmax *modules*: 3n - 1 for each vector of n;
- nothing else: no attention products, no interpolation, no sums, nothing called as a function;
- parameters of those modules alone, and only of modules that ran; a bare `nn.Parameter` (position embedding,
  layer scale) is left out. A module that runs twice has its operations counted twice, its parameters once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

# Activations, dropout and pooling by maximum count as zero operations and have no parameters, but for PReLU.
_COUNTED = (_ConvNd, nn.Linear, _BatchNorm, _InstanceNorm, nn.LayerNorm, nn.Softmax, nn.PReLU)


@dataclass
class Tally:
    """Running totals of `watch`."""

    macs: int = 0
    modules: dict[nn.Module, None] = field(default_factory=dict)  # those that ran, each once

    @property
    def parameters(self) -> int:
        return sum(p.numel() for module in self.modules for p in module.parameters(recurse=False))


@contextmanager
def watch(network: nn.Module) -> Iterator[Tally]:
    """Within the `with`, every forward of `network` adds to the yielded tally."""
    tally = Tally()

    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        tally.macs += operations(module, inputs[0], output)
        tally.modules[module] = None

    handles = [
        module.register_forward_hook(hook) for module in network.modules() if isinstance(module, _COUNTED)
    ]
    try:
        yield tally
    finally:
        for handle in handles:
            handle.remove()


def operations(module: nn.Module, given: Tensor, output: Tensor) -> int:
    """thop's count for one call of one module."""
    if isinstance(module, _ConvNd):
        return output.numel() * (module.in_channels // module.groups) * prod(module.kernel_size)
    if isinstance(module, nn.Linear):
        return module.in_features * output.numel()
    if isinstance(module, _BatchNorm | _InstanceNorm):
        return (4 if module.affine else 2) * given.numel()
    if isinstance(module, nn.LayerNorm):
        return (4 if module.elementwise_affine else 2) * given.numel()
    if isinstance(module, nn.Softmax):
        length = given.shape[module.dim if module.dim is not None else -1]
        return (3 * length - 1) * (given.numel() // length)
    return 0
