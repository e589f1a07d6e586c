"""Parameters and operations of a network: counted, not allocated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from segdistill.cost.activations import Activations
from segdistill.cost.by_stage import StageCost, by_stage
from segdistill.cost.meta import without_data
from segdistill.cost.thop_convention import watch
from segdistill.errors import SegdistillError


@dataclass(frozen=True)
class Counts:
    """Of one network at one input of batch 1: true counts, and those in the convention of the papers."""

    parameters: int
    macs: int  # multiply-adds of convolutions, linear layers, matrix products (half of FlopCounterMode)
    thop_parameters: int
    thop_macs: int  # printed as "GFLOPs" in most papers, divided by 1e9
    activation_bytes: int  # float32 tensors alive at once at the peak of a forward pass, without the weights
    stages: tuple[StageCost, ...]  # the true counts, stage by stage
    weight_bytes: int  # of the parameters and buffers as they are, each once: the size of a file of them


def count(network: nn.Module, image_shape: Sequence[int]) -> Counts:
    """Count for one image of (channels, *space), in evaluation mode, on the meta device.

    Neither the activations nor a second copy of the weights are allocated, and the network is left as it was.
    Operations that torch's FlopCounterMode does not know (norms, activations, interpolation) are not in
    `macs`. Raises SegdistillError where the network cannot run without data (control flow on values, tensors
    that are neither parameters nor buffers).
    """
    image = torch.empty((1, *image_shape), device="meta")
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad(), without_data(network) as states:
            with (
                watch(network) as tally,
                FlopCounterMode(display=False) as flops,
                by_stage(network, flops.get_total_flops) as stages,
            ):
                network(image)
            with Activations(states) as activations:
                network(image)
    except (RuntimeError, NotImplementedError) as error:
        raise SegdistillError(
            f"{type(network).__name__} cannot be counted on the meta device ({str(error).splitlines()[0]}); "
            "it must keep its tensors as parameters or buffers and not branch on values"
        ) from error
    finally:
        for module, training in modes.items():
            module.training = training
    return Counts(
        parameters=sum(p.numel() for p in network.parameters()),
        macs=flops.get_total_flops() // 2,
        thop_parameters=tally.parameters,
        thop_macs=tally.macs,
        activation_bytes=activations.peak,
        stages=tuple(stages),
        weight_bytes=sum(tensor.nbytes for tensor in states),
    )
