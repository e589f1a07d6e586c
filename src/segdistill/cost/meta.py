"""Networks whose weights take no memory, or are set aside: on the meta device, to be counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

WEIGHTS = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn})


class WithoutMemory(TorchFunctionMode):
    """Within it, what modules make their parameters of lies on the meta device.

    Ranges stay on the CPU: constructors read values from them (the drop rates of MONAI's Swin, index tables), which
    `torch.device("meta")` would not allow.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function, on the meta device where it makes a weight and says nothing else."""
        kwargs = kwargs or {}
        if func in WEIGHTS and kwargs.get("device") is None:
            kwargs = {**kwargs, "device": "meta"}
        return func(*args, **kwargs)


@contextmanager
def without_data(network: nn.Module) -> Iterator[list[Tensor]]:
    """Within the `with`, the network has twins of its parameters and buffers on the meta device; they are yielded.

    Each tensor has one twin, under all of its names. (`torch.func.functional_call` leaves twins behind in modules that
    have several names, as nnU-Net's do.)
    """
    twins: dict[int, Tensor] = {}
    own: list[tuple[dict[str, Any], str, Tensor]] = []
    for module in network.modules():
        tables: list[dict[str, Any]] = [module._parameters, module._buffers]
        for table in tables:
            own += [(table, name, tensor) for name, tensor in table.items() if tensor is not None]
    for _, _, tensor in own:
        twins.setdefault(id(tensor), torch.empty_like(tensor, device="meta"))
    try:
        for table, name, tensor in own:
            table[name] = twins[id(tensor)]
        yield list(twins.values())
    finally:
        for table, name, tensor in own:
            table[name] = tensor
