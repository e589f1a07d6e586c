"""Parameters and multiply-adds as `thop.profile` counts them, which is how the papers' tables were made.

The convention (thop 0.1.1, batch 1, evaluation mode) differs from true counts, and is kept here only so that published
numbers can be compared with:

- convolution and transposed convolution alike: output elements x (input channels / groups) x kernel volume,
  no bias (a stride-2 transposed convolution is thus counted 4 times in 2-D and 8 times in 3-D);
- linear: input features x output elements, no bias;
- instance, batch and layer norm *modules*: 2 x input elements, 4 x with learned scale;
- softmax *modules*: 3n - 1 for each vector of n; PReLU: its input elements;
- average pooling *modules*: output elements, adaptive ones x (elements that go into one + 1);
- `nn.Upsample`: output elements, x 5 linear, x 11 bilinear, x 259 bicubic; trilinear nothing;
- nothing else: no attention products, no interpolation, no sums, nothing called as a function, no subclass of these;
- parameters of those modules alone, and only of modules that ran; a bare `nn.Parameter` (position embedding,
  layer scale) is left out. A module that runs twice has its operations counted twice, its parameters once;
- a module with n parents has its parameters counted n times and its operations n^2 times: it is hooked, and summed
  up, once for each parent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

from torch import Tensor, nn

Count = Callable[[Any, Tensor, Tensor], int]
"""(module, its input, its output) -> operations of one call."""

UPSAMPLING = {"nearest": 1, "linear": 5, "bilinear": 11, "bicubic": 259}


def _convolution(module: Any, given: Tensor, output: Tensor) -> int:
    return output.numel() * (module.in_channels // module.groups) * prod(module.kernel_size)


def _linear(module: Any, given: Tensor, output: Tensor) -> int:
    return module.in_features * output.numel()


def _norm(module: Any, given: Tensor, output: Tensor) -> int:
    scaled = getattr(module, "affine", False) or getattr(module, "elementwise_affine", False)
    return (4 if scaled else 2) * given.numel()


def _softmax(module: Any, given: Tensor, output: Tensor) -> int:
    length = given.shape[module.dim if module.dim is not None else -1]
    return (3 * length - 1) * (given.numel() // length)


def _prelu(module: Any, given: Tensor, output: Tensor) -> int:
    return given.numel()


def _average(module: Any, given: Tensor, output: Tensor) -> int:
    return output.numel()


def _adaptive_average(module: Any, given: Tensor, output: Tensor) -> int:
    pooled = prod(given.shape[2:]) / prod(output.shape[2:])
    return int((pooled + 1) * output.numel())


def _upsample(module: Any, given: Tensor, output: Tensor) -> int:
    return UPSAMPLING.get(module.mode, 0) * output.numel()


COUNTED: dict[type[nn.Module], Count] = {
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), _convolution),
    **dict.fromkeys((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), _convolution),
    nn.Linear: _linear,
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, nn.LayerNorm), _norm),
    **dict.fromkeys((nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d), _norm),
    nn.Softmax: _softmax,
    nn.PReLU: _prelu,
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), _average),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), _adaptive_average),
    **dict.fromkeys((nn.Upsample, nn.UpsamplingBilinear2d, nn.UpsamplingNearest2d), _upsample),
}


@dataclass
class Tally:
    """What `watch` saw: the operations of each module that ran, and the network whose they are."""

    network: nn.Module
    operations: dict[nn.Module, int] = field(default_factory=dict)

    @property
    def macs(self) -> int:
        """All operations, those of a module with n parents n^2 times."""
        parents = Counter(_walk(self.network))
        return sum(parents[module] ** 2 * operations for module, operations in self.operations.items())

    @property
    def parameters(self) -> int:
        """Parameters of the counted modules that ran, those of a module with n parents n times."""
        ran = (module for module in _walk(self.network) if module in self.operations)
        return sum(p.numel() for module in ran for p in module.parameters(recurse=False))


@contextmanager
def watch(network: nn.Module) -> Iterator[Tally]:
    """Within the `with`, every forward of `network` adds to the yielded tally."""
    tally = Tally(network)

    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        count = COUNTED[type(module)](module, inputs[0], output)
        tally.operations[module] = tally.operations.get(module, 0) + count

    handles = [module.register_forward_hook(hook) for module in network.modules() if type(module) in COUNTED]
    try:
        yield tally
    finally:
        for handle in handles:
            handle.remove()


def _walk(module: nn.Module) -> Iterator[nn.Module]:
    """The module and all below it; one that has several parents comes once for each."""
    yield module
    for child in module.children():
        yield from _walk(child)
