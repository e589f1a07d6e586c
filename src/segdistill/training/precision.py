"""Half precision that a machine computes wrongly is refused before training; one that it only imitates is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segdistill.errors import SegdistillError

SMALL = 4  # voxels along an axis; larger maps were never seen to go wrong
WRONG = 0.5  # relative error of a gradient; rounding to bfloat16 gives a hundredth
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)


IMITATED = (
    "this processor has no instructions for bfloat16, so PyTorch imitates it, many times slower than float32 (40 times "
    "was seen); use train.precision=32-true here"
)


def imitated(dtype: torch.dtype) -> bool:
    """Whether this processor computes in `dtype` only by converting to and fro (bfloat16 without AVX-512)."""
    if dtype != torch.bfloat16 or not torch.backends.mkldnn.is_available():
        return False
    return not torch.ops.mkldnn._is_mkldnn_bf16_supported()


def refuse_wrong_gradients(network: nn.Module, example: Tensor, dtype: torch.dtype, place: str) -> None:
    """See that convolutions of small maps have the gradients in `dtype` that they have in float32, on this machine.

    PyTorch 2.13 on the CPU (oneDNN, seen on AMD Zen 4) reads memory that it never wrote when it computes the weights'
    gradient of a 3-D convolution in bfloat16 whose map has two voxels along an axis: what comes out is noise, often
    finite. Each kind of small convolution that the network has is therefore tried once.

    Args:
        example: (1, channel, *space) as the network sees it.
        place: what the network is in the recipe, for the message.

    Raises:
        SegdistillError: a gradient is wrong; the layer and the size of its map are named.
    """
    tried: set[tuple[Any, ...]] = set()
    for name, layer, shape in small_convolutions(network, example):
        kind = (layer.weight.shape, layer.stride, layer.padding, layer.groups, shape)
        if kind in tried:
            continue
        tried.add(kind)
        if error(layer, shape, dtype) > WRONG:
            size = " x ".join(str(side) for side in shape[1:])
            raise SegdistillError(
                f"train.precision: PyTorch on this processor computes wrong gradients in {str(dtype).split('.')[-1]} "
                f"for {place}'s {name} on maps of {size}; use train.precision=32-true, a larger data.patch_size, or a "
                "network with fewer levels"
            )


def small_convolutions(
    network: nn.Module, example: Tensor
) -> list[tuple[str, nn.Conv2d | nn.Conv3d, tuple[int, ...]]]:  # fmt: skip
    """Name, layer and shape of the input (channel, *space) of the convolutions of maps that are small along an axis."""
    found: list[tuple[str, nn.Conv2d | nn.Conv3d, tuple[int, ...]]] = []
    handles = []
    for name, layer in network.named_modules():
        if isinstance(layer, CONVOLUTIONS):

            def note(module: Any, inputs: Sequence[Tensor], _: Any, name: str = name) -> None:
                shape = tuple(inputs[0].shape[1:])
                if min(shape[1:]) <= SMALL:
                    found.append((name, module, shape))

            handles.append(layer.register_forward_hook(note))
    mode = network.training
    try:
        with torch.no_grad():
            network.eval()(example)
    finally:
        network.train(mode)
        for handle in handles:
            handle.remove()
    return found


def error(layer: nn.Conv2d | nn.Conv3d, shape: Sequence[int], dtype: torch.dtype) -> float:
    """Relative error of the weights' gradient in `dtype`, the worst of two tries."""
    return max(_error(layer, shape, dtype, seed) for seed in (0, 1))


def _error(layer: nn.Conv2d | nn.Conv3d, shape: Sequence[int], dtype: torch.dtype, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(2, *shape, generator=generator)
    right = weight_gradient(layer, image, torch.float32)
    waste = [
        torch.full((2**16,), float("nan")) for _ in range(8)
    ]  # so that unwritten memory is no lucky zero
    del waste
    found = weight_gradient(layer, image, dtype)
    apart = float((found - right).norm() / right.norm().clamp_min(1e-12))
    return apart if apart == apart else float("inf")


def weight_gradient(layer: nn.Conv2d | nn.Conv3d, image: Tensor, dtype: torch.dtype) -> Tensor:
    """Gradient of the sum of squares of the layer's output by its weights, computed in `dtype`."""
    weight = layer.weight.detach().to("cpu", dtype).requires_grad_()
    convolve = nn.functional.conv2d if isinstance(layer, nn.Conv2d) else nn.functional.conv3d
    output = convolve(
        image.to(dtype), weight, None, layer.stride, layer.padding, layer.dilation, layer.groups
    )  # fmt: skip
    output.float().square().sum().backward()
    assert weight.grad is not None
    return weight.grad.float()
