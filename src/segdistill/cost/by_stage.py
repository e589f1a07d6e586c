"""Which part of a network costs what: operations and parameters from one named stage to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from segdistill.networks.stages import stage_table

OTHER = "other"
"""Parameters of modules that a forward pass does not call by themselves, or not at all."""


@dataclass(frozen=True)
class StageCost:
    """What runs after the stage before it, up to and with this one; `logits` is the rest."""

    stage: str
    macs: int
    parameters: int


@contextmanager
def by_stage(network: nn.Module, flops: Callable[[], int]) -> Iterator[list[StageCost]]:
    """Within the `with`, one forward pass fills the yielded list, in the order in which stages are reached.

    A network without named stages fills it with `logits` alone.

    Args:
        flops: tells how many operations were counted so far, two for a multiply-add.
    """
    names: dict[nn.Module, str] = {}
    for name, (module, _) in stage_table(network).items():
        names.setdefault(module, name)
    found: list[StageCost] = []
    costs: dict[str, list[int]] = {}
    seen, since = set[int](), {"flops": 0, "parameters": 0}

    def entered(module: nn.Module, *_: Any) -> None:
        for parameter in module._parameters.values():
            if parameter is not None and id(parameter) not in seen:
                seen.add(id(parameter))
                since["parameters"] += parameter.numel()

    def left(module: nn.Module, *_: Any) -> None:
        total = flops()
        cost = costs.setdefault(names[module], [0, 0])
        cost[0] += (total - since["flops"]) // 2
        cost[1] += since["parameters"]
        since.update(flops=total, parameters=0)

    handles = [module.register_forward_pre_hook(entered) for module in network.modules()]
    handles += [module.register_forward_hook(left) for module in names]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
    found += [StageCost(name, *cost) for name, cost in costs.items()]
    rest = sum(p.numel() for p in network.parameters()) - sum(one.parameters for one in found)
    if rest:
        found.append(StageCost(OTHER, 0, rest))
