"""RepVGG: three branches in training that are one convolution at inference."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from segdistill.networks.blocks import BATCH_NORM, CONVOLUTION

EPSILON = 1e-5  # of the batch norms
Network = TypeVar("Network", bound=nn.Module)


class RepBlock(nn.Module):
    """ReLU of the sum of three branches, each ending in batch norm (Ding et al., CVPR 2021, Section 3.3).

    `dense` a convolution 3, `pointwise` a 1-wide convolution, `identity` the input itself (only where it has the shape
    of the output). None of the convolutions has a bias. `fused` is the same function as one convolution 3 with a bias.
    """

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.spatial_dims, self.stride = spatial_dims, stride
        conv, norm = CONVOLUTION[spatial_dims], BATCH_NORM[spatial_dims]
        self.dense = nn.Sequential(
            conv(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
            norm(out_channels, eps=EPSILON),
        )
        self.pointwise = nn.Sequential(
            conv(in_channels, out_channels, 1, stride=stride, bias=False), norm(out_channels, eps=EPSILON)
        )
        self.identity = (
            norm(out_channels, eps=EPSILON) if stride == 1 and in_channels == out_channels else None
        )

    def forward(self, x: Tensor) -> Tensor:
        total = self.dense(x) + self.pointwise(x)
        if self.identity is not None:
            total = total + self.identity(x)
        return total.relu()

    def fused(self) -> nn.Sequential:
        """[Convolution 3 with bias, ReLU] that answers as this block does in evaluation mode."""
        dense, pointwise = self.get_parameter("dense.0.weight"), self.get_parameter("pointwise.0.weight")
        kernels = [(dense, self.dense[1]), (pad(pointwise, (1, 1) * self.spatial_dims), self.pointwise[1])]
        if self.identity is not None:
            kernels.append((nn.init.dirac_(torch.empty_like(dense)), self.identity))
        out_channels, in_channels = dense.shape[:2]
        conv = CONVOLUTION[self.spatial_dims](in_channels, out_channels, 3, stride=self.stride, padding=1)
        conv = conv.to(device=dense.device, dtype=dense.dtype)
        weights, biases = zip(*(_scaled(kernel, norm) for kernel, norm in kernels), strict=True)
        with torch.no_grad():
            conv.get_parameter("weight").copy_(torch.stack(weights).sum(0))
            conv.get_parameter("bias").copy_(torch.stack(biases).sum(0))
        return nn.Sequential(conv, nn.ReLU())


def _scaled(kernel: Tensor, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Kernel and bias of a convolution followed by batch norm, in float64 so that summing rounds once."""
    state = {name: tensor.double() for name, tensor in norm.state_dict().items()}
    scale = state["weight"] / torch.sqrt(state["running_var"] + EPSILON)
    shift = state["bias"] - state["running_mean"] * scale
    return kernel.detach().double() * scale.reshape(-1, *[1] * (kernel.ndim - 1)), shift


def reparameterised(network: Network) -> Network:
    """A copy of `network` for inference, in which every `RepBlock` is one convolution and ReLU.

    In evaluation mode it answers as `network` does, up to rounding, with fewer parameters and operations. The copy has
    no batch norm in these blocks, so train the original. Its stages are the same.
    """
    copy = deepcopy(network)
    for module in list(copy.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, RepBlock):
                setattr(module, name, child.fused().train(child.training))
    return copy


def rep_vgg(
    spatial_dims: int, in_channels: int, channels: Sequence[int], depths: Sequence[int]
) -> nn.ModuleDict:
    """RepVGG's stages by name, `stage0` .. `stage4`: each begins with a block of stride 2."""
    stages = nn.ModuleDict()
    inputs = in_channels
    for i, (outputs, depth) in enumerate(zip(channels, depths, strict=True)):
        rest = [RepBlock(spatial_dims, outputs, outputs) for _ in range(depth - 1)]
        stages[f"stage{i}"] = nn.Sequential(RepBlock(spatial_dims, inputs, outputs, stride=2), *rest)
        inputs = outputs
    return stages
